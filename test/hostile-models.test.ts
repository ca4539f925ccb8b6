import { readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { readCatalogue } from "../models/catalogue.ts";
import { EchoEngine } from "../models/echo-engine.ts";
import type { EngineFault } from "../models/engine.ts";
import { readGgufHead } from "../models/gguf-head.ts";
import { LlamaEngine } from "../models/llama-engine.ts";
import { sha256Of } from "../models/verify-file.ts";
import { startTestAppliance, userSays } from "./support/appliance.ts";
import { deadly, type Harm, harmedHeads, harmedValues, hostileModel, randomOf, readHead } from "./support/hostile-models.ts";
import { llamaSettings } from "./support/model.ts";
import { sallyport } from "./support/sallyport.ts";
import { scratchDir } from "./support/scratch.ts";

/** What an engine says that is asked to load it, pinned as it is. */
async function refusalOf(name: string, harm: Harm): Promise<string> {
  const file = hostileModel(name, harm);
  const pinned = { bytes: statSync(file).size, sha256: await sha256Of(file) };
  const settings = llamaSettings({ ...pinned, file, contextTokens: 256, parallel: 1, stallMs: 1_000, template: "auto" });
  return await LlamaEngine.start(settings, 0).then(
    (engine) => engine[Symbol.asyncDispose]().then(() => "it was loaded"),
    (fault: EngineFault) => fault.message,
  );
}

function headRefusal(file: string): string {
  try {
    readGgufHead(file);
    return "";
  } catch (error) {
    return (error as Error).message; // a sentence, or the test says what else it is
  }
}

describe("a hostile model file", function () {
  this.timeout(40_000);

  for (const [what, [harm, why]] of Object.entries(harmedHeads))
    it(`with ${what} is refused before llama.cpp sees it`, () => {
      const file = hostileModel(what, harm);
      const message = headRefusal(file);
      expect(message).to.match(why);
      expect(message)
        .to.match(/\.gguf is no GGUF that can be loaded: .* fetch it again\.$/u)
        .and.include(file);
    });

  it("of any make is read or refused in a sentence at once and without memory: a thousand heads with random bytes", () => {
    const head = readHead();
    const random = randomOf(20_261_128);
    const keysEnd = 3_000; // before the vocabulary, where the counts and lengths are
    let refused = 0;
    let slowestMs = 0;
    const heldBytes = process.memoryUsage().rss;
    for (let seed = 0; seed < 1_000; seed += 1) {
      const harmed = Buffer.from(head.subarray(0, 4096));
      for (let times = 1 + random(8); times > 0; times -= 1) harmed[random(keysEnd)] = [0, 1, 0x7f, 0xff, random(256)][random(5)] ?? 0;
      const file = join(scratchDir(), "any.gguf");
      writeFileSync(file, Buffer.concat([harmed, head.subarray(4096, 60_000)]));
      const startedMs = performance.now();
      const message = headRefusal(file);
      slowestMs = Math.max(slowestMs, performance.now() - startedMs);
      if (message !== "") refused += 1;
      expect(message).to.match(/^$|^\/.*any\.gguf is no GGUF that can be loaded: .* fetch it again\.$/u);
    }
    expect(refused).to.equal(1_000); // all of them end in the vocabulary
    expect(slowestMs).to.be.below(1_000);
    expect(process.memoryUsage().rss - heldBytes).to.be.below(300e6);
  });

  it("that only the engine can judge is refused by its name, with the reason", async () => {
    const refusals = Object.entries(harmedValues).map(async ([what, [harm, why]]) => {
      const message = await refusalOf(what, harm);
      expect(message, what).to.match(why);
      expect(message, what).to.include(`${what.replaceAll(" ", "-")}.gguf`);
    });
    await Promise.all(refusals);
  });

  it("that kills the engine's process, or keeps it for ever, kills nothing else: the service answers meanwhile and is told which file it was", async () => {
    await using appliance = await startTestAppliance({ engines: [new EchoEngine("echo")] });
    const loading = Promise.all(
      Object.entries(deadly).map(async ([what, [harm, why]]) => [await refusalOf(what, harm), what, why] as const),
    );
    let ended = false;
    void loading.finally(() => {
      ended = true;
    });
    do {
      const { status, body } = await appliance.call("POST", "/v1/chat/completions", userSays("The river rises in spring."));
      expect([status, body.choices?.[0]?.message.content]).to.deep.equal([200, "The river rises in spring."]);
      await new Promise((resolve) => setTimeout(resolve, 200));
    } while (!ended);
    for (const [message, what, why] of await loading) {
      expect(message, what).to.match(why);
      expect(message, what).to.match(new RegExp(`/${what.replaceAll(" ", "-")}\\.gguf can't be loaded: .*fetch it again\\.$`, "u"));
    }
  });

  it("is not taken up by `models add`, which leaves nothing behind", async () => {
    const dir = scratchDir();
    writeFileSync(join(dir, "catalogue.yaml"), "models: []\n");
    for (const [what, hostile] of [
      ["a list of lists", harmedHeads["a list of lists"]],
      ["no heads", deadly["no heads"]],
    ] as const) {
      if (hostile === undefined) throw new Error(`there is no ${what}`);
      const [harm, why] = hostile;
      const file = hostileModel(what, harm);
      const { status, stderr } = await sallyport(["models", "add", file, "--licence", "MIT"], { SALLYPORT_MODELS: dir });
      expect([status, stderr]).to.deep.equal([1, stderr]);
      expect(stderr).to.match(why).and.include(file);
    }
    expect([readCatalogue(dir), readdirSync(dir)]).to.deep.equal([[], ["catalogue.yaml"]]);
  });
});
