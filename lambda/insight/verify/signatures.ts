import type { KeyObject } from 'node:crypto'
import type { Manifest } from '../../archive/cards.ts'
import { runFileKey } from '../../archive/keys.ts'
import { sha256Of } from '../../archive/s3/objects.ts'
import { isSignedBy } from '../../signing/public-key.ts'
import { type Findings, addDifference } from './differences.ts'
import type { RunFiles } from './files.ts'

/** A manifest, and the bytes that were read: those are what was signed. */
export type ReadManifest = { readonly manifest: Manifest; readonly bytes: Uint8Array }

/** Checks the signatures of manifests, from the newest run to the oldest. */
export type SignatureCheck = {
  /** A wrong or missing signature is a difference. */
  readonly check: (read: ReadManifest, findings: Findings) => Promise<void>
  /** How many valid signatures were found. */
  readonly valid: () => number
}

/**
 * Checks with public keys alone. A valid signature vouches for the runs before it as well, since each
 * manifest names the hash of the one before: a run that was closed while KMS did not answer, or before a key
 * was configured, needs none of its own once a later one is signed.
 */
export function signatureCheck(files: RunFiles, publicKeys: readonly KeyObject[]): SignatureCheck {
  const vouchedFor = new Set<string>()
  let valid = 0
  return {
    valid: () => valid,
    async check({ manifest, bytes }, findings) {
      const where = runFileKey(manifest.runId, 'manifest.sig')
      const signature = await files.read(where)
      const isValid = signature !== null && isSignedBy(publicKeys, bytes, signature)
      const isVouchedFor = isValid || vouchedFor.has(sha256Of(bytes))
      if (isValid) valid += 1
      else if (signature)
        reportSignature(where, 'signature', 'valid with a public key', 'not valid', findings)
      else if (!isVouchedFor) reportSignature(where, 'object', 'present', null, findings)
      if (isVouchedFor && manifest.previous) vouchedFor.add(manifest.previous.manifestSha256)
    },
  }
}

function reportSignature(
  where: string,
  column: string,
  expected: string,
  found: string | null,
  findings: Findings,
): void {
  addDifference(findings, {
    step: 'signature',
    userId: null,
    where,
    row: null,
    column,
    expected,
    found,
    explainedBy: null,
  })
}
