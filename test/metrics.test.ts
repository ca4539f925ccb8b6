import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { LlamaEngine } from "../models/llama-engine.ts";
import { eventsOf, prose, root, startTestAppliance, type TestAppliance, userSays } from "./support/appliance.ts";
import { llamaSettings } from "./support/model.ts";
import { until } from "./support/until.ts";

const chat = "/v1/chat/completions";

const metricsOf = async (appliance: TestAppliance): Promise<string> =>
  (await appliance.call("GET", "/metrics", undefined, { as: "operator" })).text;

/** The value of a sample, written as Prometheus' text format has it; 0 when there is none. */
const sampleOf = (text: string, sample: string): number =>
  Number(
    text
      .split("\n")
      .find((line) => line.startsWith(`${sample} `))
      ?.slice(sample.length + 1) ?? 0,
  );

describe("/metrics", function () {
  this.timeout(120_000);

  it("is for operators and auditors: what others do shows in it", async () => {
    await using appliance = await startTestAppliance();
    for (const [as, status] of [
      ["app", 403],
      ["operator", 200],
      ["auditor", 200],
    ] as const)
      expect((await appliance.call("GET", "/metrics", undefined, { as })).status, as).to.equal(status);
    const { headers } = await appliance.call("GET", "/metrics", undefined, { as: "auditor" });
    expect(headers["content-type"]).to.equal("text/plain; version=0.0.4; charset=utf-8");
  });

  it("counts requests, tokens and refusals, also of an answer that is cut short", async () => {
    await using appliance = await startTestAppliance({
      policy: "output: { topics: [{ label: BOATS, words: [ferry] }] }\nattempts_max: 1\n",
    });
    await appliance.call("POST", chat, userSays("one two three"));
    await appliance.call("POST", chat, userSays("\b".repeat(50)));
    await appliance.call("POST", chat, { ...userSays("one"), n: 5 });
    const cut = await appliance.call("POST", chat, { ...userSays("take the ferry home"), stream: true });
    expect(eventsOf(cut.text).at(-1).choices[0].finish_reason).to.equal("content_filter");
    const text = await metricsOf(appliance);
    expect(sampleOf(text, `sallyport_request_duration_seconds_count{path="${chat}",status="200"}`)).to.equal(2);
    expect(sampleOf(text, `sallyport_request_duration_seconds_count{path="${chat}",status="400"}`)).to.equal(2);
    for (const code of ["control_characters", "invalid_value", "topic"])
      expect(sampleOf(text, `sallyport_refusals_total{code="${code}"}`), code).to.equal(1);
    expect(sampleOf(text, 'sallyport_tokens_total{model="echo",kind="prompt"}')).to.equal(7);
    expect(sampleOf(text, 'sallyport_tokens_total{model="echo",kind="completion"}')).to.be.within(5, 7);
    expect(sampleOf(text, 'sallyport_time_to_first_token_seconds_count{model="echo"}')).to.be.within(1, 2);
    expect(sampleOf(text, "nodejs_eventloop_lag_seconds")).to.be.at.least(0);
    expect(text).to.match(/^nodejs_eventloop_lag_p99_seconds /mu);
  });

  it("holds no text, no name, and no label that a caller made", async () => {
    await using appliance = await startTestAppliance();
    const canary = "kestrel4711";
    for (const body of [userSays(canary), { ...userSays("a"), model: canary }, { ...userSays("a"), [canary]: 1, user: canary }])
      await appliance.call("POST", chat, body, { headers: { "user-agent": canary, "x-request-id": canary } });
    for (const path of [`/${canary}`, `/v1/models/${canary}`]) await appliance.call("GET", path);
    const text = await metricsOf(appliance);
    expect(text).to.not.include(canary);
    expect(text).to.match(/path="\/v1\/models\/:id"/u);
    expect(text).to.not.match(/"(?:app|operator|auditor)"/u);
  });

  it("times queue, prefill and tokens of the engine, and counts its deaths", async () => {
    const llama = await LlamaEngine.start(llamaSettings({ parallel: 1 }), 64);
    await using appliance = await startTestAppliance({ engines: [llama] });
    const asked = { ...userSays(prose(30)), max_tokens: 4 };
    const calls = Promise.all([1, 2].map(() => appliance.call("POST", chat, asked)));
    const held = async (): Promise<(number | undefined)[]> => {
      const text = await metricsOf(appliance);
      return ["busy", "waiting"].map((state) => sampleOf(text, `sallyport_calls{model="smollm2-135m-instruct",state="${state}"}`));
    };
    await until(async () => (await held()).join() === "1,1");
    await calls;
    await until(async () => (await held()).join() === "0,0");
    const model = '{model="smollm2-135m-instruct"}';
    const before = await metricsOf(appliance);
    for (const name of ["queue", "prefill", "time_to_first_token"])
      expect(sampleOf(before, `sallyport_${name}_seconds_count${model}`), name).to.equal(2);
    for (const name of ["queue", "prefill"]) expect(sampleOf(before, `sallyport_${name}_seconds_sum${model}`), name).to.be.above(0);
    expect(sampleOf(before, `sallyport_inter_token_seconds_count${model}`)).to.be.within(3, 6);
    process.kill(llama.pid ?? 0, "SIGKILL");
    await until(async () => sampleOf(await metricsOf(appliance), `sallyport_engine_restarts_total${model}`) === 1);
  });

  it("has every metric in docs/api.md, with its labels, and no other", async () => {
    await using appliance = await startTestAppliance();
    await appliance.call("POST", chat, userSays("one two"));
    await appliance.call("POST", chat, {});
    const text = await metricsOf(appliance);
    const ours = [...text.matchAll(/^# TYPE (sallyport_\w+)/gmu)].map(([, name]) => name ?? "");
    const rows = [...readFileSync(join(root, "docs/api.md"), "utf8").matchAll(/^\| `(sallyport_\w+)` +\| (.*?) +\|/gmu)];
    expect(rows.map(([, name]) => name).toSorted()).to.deep.equal(ours.toSorted());
    for (const [, name, labels = ""] of rows) {
      const sample = new RegExp(`^${name}(?:_sum)?\\{(.*)\\} `, "mu").exec(text)?.[1];
      const names = [...(sample ?? "").matchAll(/(\w+)="/gu)].map(([, label]) => `\`${label}\``).toSorted();
      if (sample !== undefined) expect(names.join(", "), name).to.equal(labels.split(", ").toSorted().join(", "));
    }
  });
});
