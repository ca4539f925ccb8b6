/**
 * `node check-seal.ts BUNDLE SHA256 [PINNED]`: what install.sh asks before it writes anything. `SHA256` is what the host's own tool found of the bytes before
 * the seal, `PINNED` the key that an installation trusts already. Prints the key that signed.
 */
import { checkSeal, fingerprint, readSeal } from "./seal.ts";

const [bundle = "", sha256 = "", pinned] = process.argv.slice(2);
try {
  const seal = readSeal(bundle);
  checkSeal(seal, sha256, pinned);
  console.log(`${seal.key} ${fingerprint(seal.key)}`);
} catch (error) {
  console.error((error as Error).message);
  process.exitCode = 1;
}
