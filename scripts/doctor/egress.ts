import { testEgress } from "../../server/egress.ts";
import type { Diagnosis } from "./check.ts";

/** Whether anything could leave this host. */
export async function egress(): Promise<Diagnosis> {
  const { refused, ways } = await testEgress();
  if (refused) return { state: "ok", detail: "closed: this host has no way out" };
  const advice =
    "Run the service where there is none (systemd units, PREFIX/run), take the default route away, or see that a firewall lets nothing out";
  return { state: "warn", detail: `open by ${ways.join(", ")}. ${advice}` };
}
