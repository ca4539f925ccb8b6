import { misfitIn } from "../caller-schema.ts";
import { misfitOf } from "../json-schema.ts";
import { namePattern } from "../name-pattern.ts";
import type { Finding } from "../pipeline/finding.ts";
import type { ProposedCall, ToolGate, Verdict } from "../pipeline/guard.ts";

/** What a policy says of some functions. */
export interface ToolRule {
  /** `*` stands for any characters. */
  readonly names: readonly string[];
  readonly action: "allow" | "deny";
  /** JSON Schema that the arguments must fit, besides the caller's own. */
  readonly arguments?: { readonly [keyword: string]: unknown } | undefined;
  /** When the application must confirm a call before it is told of it as one to make. */
  readonly confirm: "never" | "after_finding" | "after_untrusted" | "always";
  /** Whether the caller's personal data stands in the arguments; otherwise placeholders do. */
  readonly restore: boolean;
}

export interface ToolSettings {
  readonly default: "allow" | "deny";
  readonly rules: readonly ToolRule[];
}

const name = "tools";

/** Output gate of calls: which functions may be called, how, and when the application is asked first. The first rule that names a function counts. */
export function toolGate(settings: ToolSettings): ToolGate {
  const rules = settings.rules.map((rule) => ({
    ...rule,
    matches: namePattern(rule.names),
    misfit: rule.arguments && misfitOf(rule.arguments),
  }));
  const ruleOf = (tool: string) => rules.find(({ matches }) => matches.test(tool));
  return {
    name,
    offers: (tool) => (ruleOf(tool)?.action ?? settings.default) === "allow",
    restores: (tool) => ruleOf(tool)?.restore ?? false,
    async inspect({ tool, arguments: text, exposure, confirmed }: ProposedCall, { caller }): Promise<Verdict<ProposedCall>> {
      const rule = ruleOf(tool.name);
      if ((rule?.action ?? settings.default) === "deny") return no("tool_call", "NOT_ALLOWED");
      if (rule?.misfit?.(JSON.parse(text)) !== undefined || (await misfitIn(text, tool.parameters, caller)) !== undefined)
        return no("tool_call", "ARGUMENTS");
      const confirm = rule?.confirm ?? "never";
      const asks =
        confirm === "always" ||
        (confirm === "after_untrusted" && exposure !== "none") ||
        (confirm === "after_finding" && exposure === "finding");
      return asks && !confirmed ? no("tool_confirmation", "UNCONFIRMED") : { action: "pass", findings: [] };
    },
  };
}

function no(code: "tool_call" | "tool_confirmation", label: string): Verdict<ProposedCall> {
  const finding: Finding = { guard: name, label, score: 1, threshold: 1, span: { start: 0, end: 0 }, action: "block" };
  return { action: "block", code, findings: [finding] };
}
