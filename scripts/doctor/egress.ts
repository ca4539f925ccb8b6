import { testEgress } from "../../server/egress.ts";
import type { Check } from "./check.ts";

/** Whether anything could leave this host. */
export async function egress(): Promise<Check> {
  const name = "egress";
  const { refused, ways } = await testEgress();
  if (refused) return { name, state: "ok", detail: "closed: this host has no way out" };
  const advice =
    "Run the service where there is none (systemd units, PREFIX/run), take the default route away, or see that a firewall lets nothing out";
  return { name, state: "warn", detail: `open by ${ways.join(", ")}. ${advice}` };
}
