import { Readable } from "node:stream";
import { type Case, casesOf } from "../../bench/adversarial/families.ts";
import { interval, rounded } from "../../bench/statistics.ts";
import { readConfig } from "../../server/config.ts";
import { openConfiguredClassifiers } from "../engines.ts";
import { inOrder } from "../in-order.ts";
import { step } from "../progress.ts";
import type { Bench, Measurement } from "./benchmark.ts";

const seed = 5;
const sideBySide = 8;

interface Share {
  readonly of: number;
  readonly flagged: number;
  /** Percent, with its 95 % interval. */
  readonly percent: number;
  readonly interval: readonly [number, number];
}

interface Row {
  readonly family: string;
  readonly attacks: { readonly asItIs: Share; readonly withViews: Share };
  readonly twins: { readonly asItIs: Share; readonly withViews: Share };
}

/** `bench adversarial`: how many disguised attacks `injection` finds, and how many harmless twins under the same disguise it flags, with the disguise on and taken off. */
export async function benchAdversarial({ quick = false }: { readonly quick?: boolean | undefined }, { stop }: Bench): Promise<Measurement> {
  await using classifiers = await openConfiguredClassifiers(readConfig());
  const { injection: bare } = classifiers.asTheyStand;
  const cases = casesOf(seed).filter((_, index) => !quick || index % 8 < 2);
  const models = new Set<string>();
  const judged: (Case & { asItIs: boolean; withViews: boolean })[] = [];
  await step("Judging", async (progress) => {
    const answers = inOrder(Readable.from(cases), sideBySide, async (one: Case) => {
      const [asItIs, withViews] = await Promise.all(
        [bare, classifiers.injection].map((classifier) => classifier.judge(one.text, { origin: one.origin, signal: stop })),
      );
      if (withViews !== undefined) models.add(withViews.model);
      return { ...one, asItIs: asItIs?.flagged === true, withViews: withViews?.flagged === true };
    });
    for await (const answer of answers) {
      judged.push(answer);
      progress(`${judged.length} of ${cases.length}`);
    }
  });
  const rows = [...new Set(cases.map(({ family }) => family))].map((family): Row => {
    const of = (isAttack: boolean, how: "asItIs" | "withViews"): Share => {
      const group = judged.filter((one) => one.family === family && one.isAttack === isAttack);
      return share(group.filter((one) => one[how]).length, group.length);
    };
    return {
      family,
      attacks: { asItIs: of(true, "asItIs"), withViews: of(true, "withViews") },
      twins: { asItIs: of(false, "asItIs"), withViews: of(false, "withViews") },
    };
  });
  return { report: { seed, models: [...models].toSorted(), rows }, table: table(rows) };
}

function share(flagged: number, of: number): Share {
  const [low, high] = interval(flagged, of);
  return { of, flagged, percent: rounded((100 * flagged) / of), interval: [rounded(100 * low), rounded(100 * high)] };
}

function table(rows: readonly Row[]): string {
  const cell = ({ percent, interval: [low, high] }: Share): string => `${percent} % (${low}–${high})`.padStart(24);
  const head = `${"".padEnd(18)}${["attacks, as they are", "with views", "twins, as they are", "with views"].map((one) => one.padStart(24)).join("")}`;
  return [
    head,
    ...rows.map(
      ({ family, attacks, twins }) =>
        family.padEnd(18) + [attacks.asItIs, attacks.withViews, twins.asItIs, twins.withViews].map(cell).join(""),
    ),
  ].join("\n");
}
