import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import type { ToolCall } from "../../models/engine.ts";
import type { Call } from "./call.ts";

/** Of this process: what waited for a confirmation is asked again after a restart. */
const key = randomBytes(32);

const validMs = 15 * 60_000;

/** A call as it was before the caller's values came back, and a seal of what a person was shown with them. */
export interface ConfirmedCall extends ToolCall {
  readonly shown: string;
}

/** What the application sends back to confirm `called`, in this conversation, as it stands. `shown`: its arguments with the caller's values. */
export function confirmationOf(called: ToolCall, shown: string, conversation: Call): string {
  const held = { name: called.name, arguments: called.arguments, shown: shownSealOf(shown, conversation), until: Date.now() + validMs };
  const text = Buffer.from(JSON.stringify(held)).toString("base64url");
  return `${text}.${sealOf([text], conversation).toString("base64url")}`;
}

/** Whether what would leave now is what a person was shown: which value a placeholder stands for may have changed with the policy. */
export function isAsShown({ shown }: ConfirmedCall, given: string, conversation: Call): boolean {
  return shown === shownSealOf(given, conversation);
}

/** The call that was confirmed; undefined when this conversation never held it, or too long ago. */
export function confirmedCall(confirmation: string, conversation: Call): ConfirmedCall | undefined {
  const [text = "", seal = ""] = confirmation.split(".");
  const given = Buffer.from(seal, "base64url");
  const wanted = sealOf([text], conversation);
  if (given.length !== wanted.length || !timingSafeEqual(given, wanted)) return undefined;
  const { name, arguments: args, shown, until } = JSON.parse(Buffer.from(text, "base64url").toString());
  return until < Date.now() ? undefined : { name, arguments: args, shown };
}

function shownSealOf(given: string, conversation: Call): string {
  return sealOf(["shown", given], conversation).toString("base64url");
}

function sealOf(what: readonly string[], { caller, messages }: Call): Buffer {
  const said = messages.map(({ role, isCall, passage }) => [role, isCall, passage.text]);
  return createHmac("sha256", key)
    .update(JSON.stringify([caller.name, said, ...what]))
    .digest();
}
