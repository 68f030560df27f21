/** The exit statuses that commands share, beside 0. What each means to a person is in `npm start -- --help`. */
export const FAILED = 1
export const DIFFERENT = 2
export const INCOMPLETE = 3
