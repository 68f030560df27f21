import manifest from '../../package.json' with { type: 'json' }

/** The version that a run's records name. */
export const SOFTWARE_VERSION: string = manifest.version
