/** What is used of asl-validator, which brings no types that TypeScript finds. */
declare module 'asl-validator' {
  export default function aslValidator(definition: object): {
    isValid: boolean
    errorsText: (separator: string) => string
  }
}
