/** The alias of both functions that everything invokes. */
export const LIVE = 'live'
