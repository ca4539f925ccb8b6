import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { parse } from "yaml";
import { measureRound } from "../bench/answer.ts";
import { failuresOf, type HostileRound, type HostileSummary, summariseHostile } from "../bench/hostile.ts";
import { type Family, families } from "../bench/hostile-inputs.ts";
import { secrets, soak, Traffic } from "../bench/soak.ts";
import { reportOf } from "../bench/soak-report.ts";
import { issueClient } from "../certs/authority.ts";
import { EchoEngine } from "../models/echo-engine.ts";
import type { EngineEvent, Generation } from "../models/engine.ts";
import { ApiClient } from "../scripts/api-client.ts";
import { guardsOff } from "../scripts/bench/appliance.ts";
import { policySchema } from "../server/policy/policy.ts";
import { root, startTestAppliance } from "./support/appliance.ts";
import { sallyport } from "./support/sallyport.ts";
import { scratchDir } from "./support/scratch.ts";
import { pause } from "./support/until.ts";

/** A configuration file with the echo engine, which waits before each word. */
function echoConfig(delayMs: number): string {
  const file = join(scratchDir(), "sallyport.yaml");
  writeFileSync(file, `models: [{ id: echo, engine: echo, token_delay_ms: ${delayMs} }]\n`);
  return file;
}

/** An engine that says to each what the one before had asked. */
class Leaky extends EchoEngine {
  #last: Generation | undefined;

  override generate(generation: Generation, signal: AbortSignal): AsyncGenerator<EngineEvent> {
    const before = this.#last ?? generation;
    this.#last = generation;
    return super.generate({ ...generation, turns: before.turns }, signal);
  }
}

describe("sallyport bench", () => {
  it("has every guard off that a policy can switch off, where it says so", () => {
    const { input, output } = policySchema.parse(parse(guardsOff));
    const { tokens_max: _, topics, ...atInput } = input;
    const { release, topics: outputTopics, ...atOutput } = output;
    expect([topics, release, outputTopics]).to.deep.equal([[], "segments", []]);
    for (const guards of [atInput, atOutput]) expect(new Set(Object.values(guards))).to.deep.equal(new Set(["off"]));
  });

  it("measures with guards on and off, and writes medians and rounds", async () => {
    const out = join(scratchDir(), "results", "quick.json");
    const { status, stdout, stderr } = await sallyport(["bench", "--quick", "--out", out], { SALLYPORT_CONFIG: echoConfig(1) });
    expect([status, stderr]).to.deep.equal([0, stderr]);
    expect(stdout).to.match(/streams +guards +TTFT ms[\s\S]*quick\.json\n$/u);
    const result = JSON.parse(readFileSync(out, "utf8"));
    expect(result).to.have.all.keys("made", "command", "model", "engine", "plan", "host", "summary", "rounds");
    expect([result.model, result.plan.streams]).to.deep.equal(["echo", [1, 4]]);
    expect(result.rounds).to.have.length(2 * result.plan.rounds * result.plan.streams.length);
    for (const { streams, guards, ttftMs, interTokenMs, tokensPerSecond, healthMs } of result.rounds) {
      expect(guards).to.be.oneOf(["on", "off"]);
      expect([ttftMs.length, interTokenMs.length]).to.deep.equal([streams, streams]);
      for (const value of [...ttftMs, ...interTokenMs, tokensPerSecond, ...healthMs]) expect(value).to.be.a("number").above(0);
      expect(healthMs).to.not.deep.equal([]);
    }
    for (const { streams, on, off, ratio } of result.summary) {
      expect(streams).to.be.oneOf([1, 4]);
      for (const one of [on, off]) expect(one).to.have.all.keys("ttftMs", "interTokenMs", "tokensPerSecond", "healthP99Ms");
      expect(ratio).to.be.a("number").above(0);
    }
  });

  it("measures the classifiers by length of text, with the language model idle and decoding", async () => {
    const out = join(scratchDir(), "classifiers.json");
    const { status, stdout } = await sallyport(["bench", "classifiers", "--quick", "--out", out], { SALLYPORT_CONFIG: echoConfig(1) });
    expect(status).to.equal(0);
    expect(stdout).to.match(/model +tokens +all p50 ms[\s\S]*classifiers\.json\n$/u);
    const result = JSON.parse(readFileSync(out, "utf8"));
    expect(result.peakMemoryBytes).to.be.greaterThan(100e6);
    expect(result.tokensPerSecondDecodedMeanwhile).to.be.greaterThan(0);
    expect(result.rows.map(({ model, words }: { model: string; words: number }) => [model, words])).to.deep.equal([
      ["idle", 24],
      ["idle", 96],
      ["decoding", 24],
      ["decoding", 96],
    ]);
    for (const { all, each, tokens, textsPerSecond } of result.rows) {
      for (const { p50, p95, p99 } of [all, each.injection, each.delicate, each.pii])
        expect(p50 > 0 && p95 >= p50 && p99 >= p95).to.equal(true);
      expect(tokens).to.be.greaterThan(20);
      expect(textsPerSecond).to.be.greaterThan(0);
    }
    const wrong = await sallyport(["bench", "everything"]);
    expect(wrong.status).to.equal(2);
  });

  it("measures this service and another one in turns, over https with a client certificate, and writes ratios", async () => {
    await using other = await startTestAppliance({ policy: guardsOff }); // random words look like an attack
    const out = join(scratchDir(), "serve.json");
    const certs = join(other.certsDir, "clients", "app");
    const { status, stdout, stderr } = await sallyport(
      ["bench", "serve", "--against", other.url, "--ca", join(other.certsDir, "ca.pem"), "--cert", join(certs, "cert.pem")].concat(
        ["--key", join(certs, "key.pem")],
        ["--quick", "--out", out],
      ),
      { SALLYPORT_CONFIG: echoConfig(1) },
    );
    expect([status, stderr]).to.deep.equal([0, stderr]);
    expect(stdout).to.match(/streams +ours tokens\/s +theirs +ratio[\s\S]*gap p99 ms[\s\S]*serve\.json\n$/u);
    const { rounds, summary, load } = JSON.parse(readFileSync(out, "utf8"));
    expect(rounds.map(({ streams, whose }: { streams: number; whose: string }) => `${streams} ${whose}`)).to.deep.equal([
      "1 ours",
      "1 theirs",
      "4 ours",
      "4 theirs",
    ]);
    for (const { ours, theirs, ratio } of summary) {
      for (const one of [ours, theirs]) expect(one.tokensPerSecond).to.be.above(0);
      expect(ratio).to.be.closeTo(ours.tokensPerSecond / theirs.tokensPerSecond, 0.02 * ratio);
    }
    for (const one of [load.ours, load.theirs]) {
      expect(one.p99).to.be.at.least(one.p50);
      expect(one.promptTokens).to.equal(301);
    }
    for (const wrong of [["serve"], ["serve", "--against", "nowhere"], ["--against", other.url]])
      expect((await sallyport(["bench", ...wrong])).status, wrong.join(" ")).to.equal(2);
  }).timeout(60_000);

  it("disguises attacks and harmless twins, and finds the attacks and not the twins", async () => {
    const out = join(scratchDir(), "adversarial.json");
    const { status, stdout } = await sallyport(["bench", "adversarial", "--quick", "--out", out], { SALLYPORT_CONFIG: echoConfig(1) });
    expect(status).to.equal(0);
    expect(stdout).to.match(/attacks, as they are[\s\S]*adversarial\.json\n$/u);
    const { rows } = JSON.parse(readFileSync(out, "utf8"));
    expect(rows).to.have.length(10);
    const share = (of: "attacks" | "twins", how: "asItIs" | "withViews"): number => {
      const groups = rows.map((row: Record<typeof of, Record<typeof how, { of: number; flagged: number }>>) => row[of][how]);
      const sum = (key: "of" | "flagged"): number =>
        groups.reduce((all: number, one: { of: number; flagged: number }) => all + one[key], 0);
      return sum("flagged") / sum("of");
    };
    expect(share("attacks", "withViews")).to.be.at.least(0.9);
    expect(share("twins", "withViews")).to.be.at.most(0.1);
    expect(share("twins", "asItIs")).to.be.above(share("twins", "withViews"));
  }).timeout(120_000);

  it("soaks a service of its own, and says what is left of it", async () => {
    const out = join(scratchDir(), "soak.json");
    const config = join(scratchDir(), "sallyport.yaml");
    writeFileSync(config, "models: [{ id: smollm2-135m-instruct }]\n");
    const { status, stdout, stderr } = await sallyport(["bench", "soak", "--minutes", "0.15", "--out", out], { SALLYPORT_CONFIG: config });
    expect([status, stderr]).to.deep.equal([0, stderr]);
    expect(stdout).to.match(/minute +service MB[\s\S]*places +0 held when all was quiet[\s\S]*soak\.json\n$/u);
    const report = JSON.parse(readFileSync(out, "utf8"));
    expect(report).to.include({ placesLeft: 0, crossings: 0, memoryJudged: false });
    expect(report.sent).to.be.at.least(8);
    expect(report.settled).to.equal(report.received).and.be.above(0);
    expect(report.gapMs.p99).to.be.at.least(report.gapMs.p50);
    for (const one of Object.values<{ warmMb: number }>(report.memory)) expect(one.warmMb).to.be.above(50);
    for (const wrong of [["--minutes", "0"], ["--minutes", "1", "--requests", "1"], ["--quick"], ["--against", "http://127.0.0.1"]])
      expect((await sallyport(["bench", "soak", ...wrong])).status, wrong.join(" ")).to.equal(2);
  }).timeout(90_000);

  it("attacks the guards while two answers run, and says what came of each family", async () => {
    const scratch = scratchDir();
    const out = join(scratch, "hostile.json");
    writeFileSync(join(scratch, "small.yaml"), "input: { tokens_max: 400 }\n");
    const config = join(scratch, "sallyport.yaml");
    writeFileSync(config, "models: [{ id: echo, engine: echo, token_delay_ms: 5 }]\npolicy: small.yaml\n");
    const { status, stdout, stderr } = await sallyport(["bench", "hostile", "--quick", "--out", out], { SALLYPORT_CONFIG: config });
    const { summary, failures } = JSON.parse(readFileSync(out, "utf8"));
    expect([status, stderr]).to.deep.equal([failures.length === 0 ? 0 : 1, stderr]);
    expect(stdout).to.match(/slowest ms +p50 quiet[\s\S]*long line[\s\S]*hostile\.json\n$/u);
    expect(summary.map(({ family }: { family: Family }) => family)).to.deep.equal(families);
    const said = Object.fromEntries(summary.map((one: HostileSummary) => [one.family, Object.keys(one.answers)]));
    expect(said["long line"]).to.include.members(["413 body_too_large", "400 too_long_to_judge"]);
    expect(said["control characters"]).to.include("400 control_characters");
    expect(said["json nodes"]).to.include("400 invalid_value");
    for (const { family, answers, ratio, quiet, slowestMs } of summary as HostileSummary[]) {
      for (const answer of Object.keys(answers)) expect(answer, family).to.match(/^[24]\d\d \w+$/u);
      expect(Math.min(ratio.p50, ratio.p99, quiet.p50, slowestMs), family).to.be.above(0);
    }
  }).timeout(180_000);

  it("fails an attack that is judged too late, or that other streams feel", () => {
    const round = (family: Family, p99: number, ms: number): HostileRound => ({
      family,
      quiet: { p50: 10, p99: 20 },
      attacked: { p50: 15, p99 },
      answers: { "200 passed": 1 },
      slowest: { ms, input: "" },
      residentGrowth: 1e6,
    });
    const rounds = [
      ...[20, 61, 70].map((p99) => round("messages", p99, 100)),
      ...[20, 30, 400].map((p99) => round("json nodes", p99, 6 * p99)),
    ];
    const summary = summariseHostile(rounds);
    expect(failuresOf(summary)).to.deep.equal(["messages: other streams' p99 is 3.05 times as long", "json nodes: an answer took 2400 ms"]);
    expect(summary[0]).to.deep.include({ answers: { "200 passed": 3 }, residentGrowthMb: 1 });
  });

  it("sees a secret that crosses from one identity to another, and a quarter of the callers leave", async () => {
    await using appliance = await startTestAppliance({ engines: [new Leaky("echo", { tokenDelayMs: 1 })], policy: guardsOff });
    const callers = secrets.map((secret) => {
      issueClient(appliance.certsDir, secret, "app");
      return { client: ApiClient.installed(appliance.url, appliance.certsDir, secret), secret };
    });
    const traffic = new Traffic();
    const load = { tokensMax: 400, sentencesMax: 1, enough: (sent: number) => sent >= 100 };
    await soak(callers, load, traffic, new AbortController().signal);
    for (const { client } of callers) client.close();
    expect(traffic.crossings[0]).to.match(/^(\w+) was told (?!\1)\w+$/u);
    expect(traffic.answered + traffic.disconnected).to.equal(traffic.sent);
    expect(reportOf(traffic, [], { places: 0, received: 100, settled: 100 }, 0, 1).failures.join()).to.match(
      /held another identity's secret/u,
    );
  });

  it("fails a soak for a place that stays held, a call that is not settled, memory that grows, and secrets that nobody would have seen", () => {
    const minute = 60_000;
    const growing = Array.from({ length: 1_800 }, (_, second) => ({
      atMs: second * 1_000,
      service: 1e8 * (1 + second / 10_000),
      engine: 1e8,
    }));
    const { failures, memory } = reportOf(
      Object.assign(new Traffic(), { answered: 100 }),
      growing,
      { places: 1, received: 3, settled: 2 },
      0,
      30 * minute,
    );
    expect(failures).to.deep.equal([
      "1 places are still held though all is quiet",
      "3 calls were received and 2 settled",
      "no answer held the caller's own secret: another's would hardly have been seen",
      `the service grew by ${memory.service.growth * 100} % after it was warm`,
    ]);
    expect(memory.service.growth).to.be.within(0.12, 0.14);
    const fine = Object.assign(new Traffic(), { own: 1 });
    const flat = growing.map((one) => ({ ...one, service: 1e8 }));
    expect(reportOf(fine, flat, { places: 0, received: 3, settled: 3 }, 0, 30 * minute).failures).to.deep.equal([]);
  });

  it("stops within a second at Ctrl-C, and writes nothing", async () => {
    const out = join(scratchDir(), "never.json");
    const child = spawn(process.execPath, [join(root, "scripts/sallyport.ts"), "bench", "--out", out], {
      env: { ...process.env, SALLYPORT_CONFIG: echoConfig(500) },
      stdio: ["ignore", "ignore", "pipe"],
    });
    let said = "";
    child.stderr.on("data", (data) => {
      said += String(data);
    });
    const exited = once(child, "exit");
    while (!said.includes("Measuring")) await pause(50);
    const stoppedMs = performance.now();
    child.kill("SIGINT");
    expect((await exited)[0]).to.equal(1);
    expect(performance.now() - stoppedMs).to.be.below(1_000);
    expect(said).to.match(/\nStopped before all was measured; nothing was written\.\n$/u);
    expect(existsSync(out)).to.equal(false);
  });

  it("asks for no more health once a stream has failed", async () => {
    const appliance = await startTestAppliance();
    const client = ApiClient.installed(appliance.url, appliance.certsDir, "app");
    const round = measureRound(client, 2, 1, new AbortController().signal); // one token can't be measured
    expect(await round.catch((error: Error) => error.message)).to.match(/less than two tokens/u);
    client.close();
    await appliance[Symbol.asyncDispose]();
    await pause(100); // a call that goes on would fail now, with nobody to hear it
  });
});
