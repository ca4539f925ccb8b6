import { appendFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** From now on the configuration of a service names a policy, and that another one for `app`. */
export function namePolicies(dataDir: string): void {
  const named = join(dataDir, "named.yaml");
  writeFileSync(named, "");
  writeFileSync(join(dataDir, "main.yaml"), `identities: [{ names: [app], policy: ${named} }]\n`);
  appendFileSync(join(dataDir, "sallyport.yaml"), "policy: main.yaml\n");
}
