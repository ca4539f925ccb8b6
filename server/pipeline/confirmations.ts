import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import type { ToolCall } from "../../models/engine.ts";
import type { Call } from "./call.ts";

/** Of this process: what waited for a confirmation is asked again after a restart. */
const key = randomBytes(32);

const validMs = 15 * 60_000;

/** What the application sends back to confirm `called`, in this conversation, as it stands. */
export function confirmationOf(called: ToolCall, conversation: Call): string {
  const held = { name: called.name, arguments: called.arguments, until: Date.now() + validMs };
  const text = Buffer.from(JSON.stringify(held)).toString("base64url");
  return `${text}.${sealOf(text, conversation).toString("base64url")}`;
}

/** The call that was confirmed; undefined when this conversation never held it, or too long ago. */
export function confirmedCall(confirmation: string, conversation: Call): ToolCall | undefined {
  const [text = "", seal = ""] = confirmation.split(".");
  const given = Buffer.from(seal, "base64url");
  const wanted = sealOf(text, conversation);
  if (given.length !== wanted.length || !timingSafeEqual(given, wanted)) return undefined;
  const { name, arguments: args, until } = JSON.parse(Buffer.from(text, "base64url").toString());
  return until < Date.now() ? undefined : { name, arguments: args };
}

function sealOf(text: string, { caller, messages }: Call): Buffer {
  const said = messages.map(({ role, isCall, passage }) => [role, isCall, passage.text]);
  return createHmac("sha256", key)
    .update(JSON.stringify([caller.name, said, text]))
    .digest();
}
