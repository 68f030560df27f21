/** Who asks for the runs of a benchmark. */
export const CALLER = { by: 'bench', via: 'bench', evidence: {}, requestId: 'bench' }
