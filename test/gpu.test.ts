import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { hostGpus } from "../models/gpu.ts";
import { LlamaEngine } from "../models/llama-engine.ts";
import type { LlamaSettings } from "../models/llama-protocol.ts";
import { productionPackages } from "../scripts/bundle/packages.ts";
import { gpu } from "../scripts/doctor/gpu.ts";
import { readConfig } from "../server/config.ts";
import { root } from "./support/appliance.ts";
import { llamaSettings } from "./support/model.ts";

const never = new AbortController().signal;
const isHere = (build: string): boolean => hostGpus().some((one) => one.build === build);

/** The device that an engine says it computes on, and the tokens it answers with. */
async function answered(settings: Partial<LlamaSettings>): Promise<{ device: string | undefined; tokens: number }> {
  await using engine = await LlamaEngine.start(llamaSettings({ parallel: 2, contextTokens: 256, ...settings }), 1);
  const turns = [{ role: "user" as const, text: "Say yes." }];
  const events = await Array.fromAsync(engine.generate({ turns, identity: "app", tokensMax: 4 }, never));
  return { device: engine.model.device, tokens: events.filter(({ type }) => type === "text").length };
}

describe("a GPU", function () {
  this.timeout(120_000);
  const before = process.env.GGML_VK_VISIBLE_DEVICES;
  after(() => {
    if (before === undefined) delete process.env.GGML_VK_VISIBLE_DEVICES;
    else process.env.GGML_VK_VISIBLE_DEVICES = before;
  });

  it("that the configuration names and llama.cpp can't use is a refusal, and no answer from the CPU", async function () {
    if (isHere("cuda")) this.skip();
    const told = await answered({ gpu: "cuda" }).catch(({ message }) => message);
    expect(told).to.match(
      /^engine\.gpu is cuda, and (?:llama\.cpp finds no GPU|this installation carries no such build).*engine\.gpu: off/u,
    );
  });

  it("that is not there leaves `auto` to the CPU, and the engine says so; `off` uses none", async () => {
    if (hostGpus().length === 0) expect((await answered({ gpu: "auto" })).device).to.equal("CPU");
    expect(await answered({ gpu: "off" })).to.deep.include({ device: "CPU" });
  });

  it("gets as many layers as are said, and answers", async function () {
    // Vulkan's software device counts when it is named.
    process.env.GGML_VK_VISIBLE_DEVICES ??= "0";
    const all = await answered({ gpu: "vulkan" }).catch((error: Error) => {
      // Only where there is none: whatever else goes wrong fails.
      if (/finds no GPU|carries no such build/u.test(error.message)) return undefined;
      throw error;
    });
    if (all === undefined) this.skip();
    expect(all.device).to.match(/\(vulkan\), (\d+) of \1 layers$/u);
    expect(all.tokens).to.be.above(0);
    const { device, tokens } = await answered({ gpu: "vulkan", gpuLayers: 3 });
    expect(device).to.match(/\(vulkan\), 3 of \d+ layers$/u);
    expect(tokens).to.be.above(0);
  });

  it("is looked for by doctor: what is here, and whether it is used", () => {
    const config = readConfig({});
    const line = (choice: "auto" | "cuda" | "off") => gpu({ ...config, engine: { ...config.engine, gpu: choice } });
    expect(line("off").detail).to.include("engine.gpu is off");
    expect(line("auto").state).to.equal("ok");
    expect(line("cuda").state).to.equal(isHere("cuda") ? "ok" : "fail");
  });

  it("has its build of llama.cpp in a bundle where the configuration names it, and in no other", function () {
    const optional = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")).packages;
    const builds = (choice: "auto" | "cuda" | "vulkan"): string[] =>
      productionPackages(root, choice)
        .map(({ name }) => name)
        .filter((name) => name.startsWith("@node-llama-cpp/"));
    const own = `@node-llama-cpp/linux-${process.arch}`;
    if (!(`node_modules/${own}-cuda` in optional)) this.skip();
    expect(builds("auto")).to.deep.equal([own]);
    expect(builds("vulkan")).to.deep.equal([own, `${own}-vulkan`]);
    expect(builds("cuda")).to.deep.equal([own, `${own}-cuda`, `${own}-cuda-ext`]);
  });
});
