/** What is wrong with the bucket, and what to do about it. */
export type RequestReason = { readonly what: string; readonly todo: string }

/** By the error's name as the AWS SDK gives it: S3's error code, or the SDK's own. */
const BY_NAME: readonly (readonly [RegExp, RequestReason])[] = [
  [
    /^NoSuchBucket$/,
    {
      what: 'the bucket does not exist',
      todo: 'Check LOG_BUCKET, and which account and region you use.',
    },
  ],
  [
    /^(ExpiredToken|ExpiredTokenException|TokenRefreshRequired|RequestExpired)$/,
    { what: 'the AWS credentials have expired', todo: 'Log in again (aws sso login).' },
  ],
  [
    /^(InvalidAccessKeyId|SignatureDoesNotMatch|InvalidToken|InvalidClientTokenId|UnrecognizedClientException)$/,
    {
      what: 'the AWS credentials are not valid',
      todo:
        'Check AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; aws sts get-caller-identity ' +
        'shows what is in use.',
    },
  ],
  [
    /^(CredentialsProviderError|TokenProviderError)$/,
    {
      what: 'there are no AWS credentials, or the login has expired',
      todo: 'Log in (aws sso login), or set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.',
    },
  ],
  [
    /^RequestTimeTooSkewed$/,
    {
      what: "this machine's clock is wrong",
      todo: 'Set it (NTP): AWS refuses requests whose time is off by minutes.',
    },
  ],
  [
    /^(AccessDenied|AccessDeniedException|Forbidden|AllAccessDisabled)$/,
    {
      what: 'these credentials lack a permission',
      todo:
        'They need s3:ListBucket on the bucket, s3:GetObject and s3:PutObject on its objects, and, where ' +
        'the bucket has a KMS key, kms:Decrypt and kms:GenerateDataKey on it.',
    },
  ],
  [
    /^(PermanentRedirect|AuthorizationHeaderMalformed|IllegalLocationConstraintException)$/,
    { what: 'the bucket is in another region', todo: 'Set AWS_REGION to the region of the bucket.' },
  ],
  [/^InvalidBucketName$/, { what: 'the name of the bucket is not valid', todo: 'Check LOG_BUCKET.' }],
]

const UNREACHABLE =
  /ECONN|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|EPIPE|TimeoutError|socket hang up|aborted|Parse Error/
/** The words of this job and of the AWS SDK; the SDK names a cut connection TimeoutError as well. */
const NO_ANSWER = /no answer within|timed out after|within the configured timeout/
const NO_DESCRIPTORS = /\b(EMFILE|ENFILE)\b/
/** S3 asks for another try, or the bytes were damaged on their way. */
const PASSING =
  /^(SlowDown|Throttling.*|RequestTimeout|InternalError|BadDigest|XAmzContentSHA256Mismatch|RequestTimeTooSkewed)$/

/**
 * Whether another try of the same request may succeed: S3 is slow, overloaded or unreachable, or answered 409
 * while another request wrote the same key. (The client corrects its clock after RequestTimeTooSkewed.)
 */
export function isPassing(error: unknown, status: number | undefined): boolean {
  if (status !== undefined && (status === 409 || status === 429 || status >= 500)) return true
  if (!(error instanceof Error)) return false
  return PASSING.test(error.name) || UNREACHABLE.test(wordsOf(error)) || NO_DESCRIPTORS.test(wordsOf(error))
}

function wordsOf(error: Error): string {
  return `${error.name} ${'code' in error ? String(error.code) : ''} ${error.message}`
}

/**
 * What a person has to know about an error of S3, of its client, or of the way between; `status` is HTTP's,
 * if any.
 */
export function reasonForRequest(error: unknown, status: number | undefined): RequestReason {
  const name = error instanceof Error ? error.name : 'unknown error'
  const known = BY_NAME.find(([pattern]) => pattern.test(name))?.[1] ?? byOther(error, status)
  return { what: `${known.what} (${status === undefined ? name : `${status} ${name}`})`, todo: known.todo }
}

function byOther(error: unknown, status: number | undefined): RequestReason {
  const message = error instanceof Error ? error.message : ''
  const words = error instanceof Error ? wordsOf(error) : ''
  if (/Region is missing/.test(message)) return { what: 'no AWS region is set', todo: 'Set AWS_REGION.' }
  if (status === 301)
    return { what: 'the bucket is in another region', todo: 'Set AWS_REGION to the region of the bucket.' }
  if (status === 403)
    return { what: 'access is forbidden', todo: 'Check the credentials and their rights on the bucket.' }
  if (status !== undefined && status >= 500)
    return { what: 'S3 reported an internal error', todo: 'Wait a minute.' }
  if (NO_DESCRIPTORS.test(words)) {
    return {
      what: 'this process cannot open more files or connections',
      todo: 'Raise the limit (ulimit -n), or send a lower "concurrency".',
    }
  }
  if (NO_ANSWER.test(message)) {
    return {
      what: `S3 did not answer in time: ${message}`,
      todo: 'Check the network: in a VPC, an endpoint for S3; elsewhere AWS_ENDPOINT_URL_S3 and the proxy.',
    }
  }
  if (UNREACHABLE.test(words)) {
    return {
      what: 'S3 cannot be reached',
      todo:
        'Check the network: in a VPC, an endpoint for S3; elsewhere AWS_ENDPOINT_URL_S3, AWS_REGION and ' +
        'the proxy.',
    }
  }
  return {
    what: 'S3 refused',
    todo: 'Check that the bucket exists, and that these credentials may get, put and list there.',
  }
}
