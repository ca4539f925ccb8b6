import { expect } from "chai";
import fc from "fast-check";
import { JsonText } from "../server/pipeline/json-text.ts";
import { startTestAppliance, userSays } from "./support/appliance.ts";
import { cut } from "./support/gate.ts";
import { Scripted } from "./support/scripted.ts";

const chat = "/v1/chat/completions";

/** What guards see, and what leaves. */
async function through(json: string, lengths: readonly number[]): Promise<{ seen: string; left: string }> {
  async function* pieces(): AsyncGenerator<string> {
    yield* cut(json, lengths);
  }
  const text = new JsonText();
  let [seen, left] = ["", ""];
  for await (const piece of text.read(pieces())) {
    seen += piece;
    left += text.write(piece);
  }
  return { seen, left };
}

const escaped = (json: string): string =>
  json.replaceAll(/[@<a-f]/gu, (char) => `\\u${(char.codePointAt(0) ?? 0).toString(16).padStart(4, "0")}`);

describe("an answer in JSON", () => {
  it("leaves as the same value, however it is cut and written", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.jsonValue(),
        fc.constantFrom(undefined, 2, "\t"),
        fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 4 }),
        async (value, space, lengths) => {
          const json = JSON.stringify(value, null, space);
          expect(JSON.parse((await through(json, lengths)).left)).to.deep.equal(JSON.parse(json.replaceAll("\uff02", '\\"')));
        },
      ),
      { numRuns: 500 },
    );
  });

  it("is seen as an application reads it", async () => {
    for (const lengths of [[1], [2, 3], [50]]) {
      const { seen } = await through(String.raw`{"a": "x\u0040y\n\"z\" \\n \/ \ud83d\ude00"}`, lengths);
      expect(seen).to.equal('{\uff02a\uff02: \uff02x@y\n"z" \\n / 😀\uff02}');
    }
  });

  it("hides nothing from the guards in escapes, and stays JSON where they take something out", async () => {
    const policy = "output: { topics: [{ label: MERGER, words: [project heron] }], personal_data: { labels: [EMAIL] } }\n";
    const engine = new Scripted(
      escaped('{"mail": "write to bob@example.org", "page": "<img src=\\"https://evil.example/a.png\\">"}'),
      '{"mail": "x:\\nbob@example.org"}',
      '{"mail": "about\\nproject\\nheron"}',
      '{"mail": "about\\nproject\\nheron"}',
      '{"mail": "about\\nproject\\nheron"}',
    );
    await using appliance = await startTestAppliance({ engines: [engine], policy });
    const asked = async (): Promise<{ content: string | null; code?: string }> => {
      const { body } = await appliance.call("POST", chat, { ...userSays("Write."), response_format: { type: "json_object" } });
      return { content: body.choices[0].message.content, ...(body.guard === undefined ? {} : { code: body.guard.code }) };
    };
    const first = await asked();
    expect(JSON.parse(first.content ?? "")).to.deep.equal({ mail: "write to [EMAIL]", page: "[picture withheld]" });
    expect(JSON.parse((await asked()).content ?? "")).to.deep.equal({ mail: "x:\n[EMAIL]" });
    expect((await asked()).code).to.equal("topic");
  });

  it("has no code marks in one string for what stands in another", async () => {
    const engine = new Scripted('{"a":"`","b":"<img src=x onerror=alert(1)>","c":"`"}', '{"a":"\\n```\\n","b":"<script>","c":"\\n```"}');
    await using appliance = await startTestAppliance({ engines: [engine] });
    const asked = async (): Promise<unknown> => {
      const { body } = await appliance.call("POST", chat, { ...userSays("Write."), response_format: { type: "json_object" } });
      return JSON.parse(body.choices[0].message.content);
    };
    expect(await asked()).to.deep.equal({ a: "`", b: "[active content withheld]", c: "`" });
    expect(await asked()).to.deep.equal({ a: "\n```\n", b: "[active content withheld]", c: "\n```" });
  });

  it("is judged and masked as it was, and no part of it is lost by what is taken out", async () => {
    const engine = new Scripted(
      '{"password": "hunter2x9","source":"https://en.wikipedia.example/wiki/Heron","title":"Heron"}',
      `{"u":"https://evil.example/?q=${"x".repeat(60)}","b":1}`,
    );
    await using appliance = await startTestAppliance({ engines: [engine] });
    const asked = async (): Promise<unknown> => {
      const { body } = await appliance.call("POST", chat, { ...userSays("Write."), response_format: { type: "json_object" } });
      return JSON.parse(body.choices[0].message.content);
    };
    expect(await asked()).to.deep.equal({ password: "[CREDENTIAL]", source: "https://en.wikipedia.example/wiki/Heron", title: "Heron" });
    expect(await asked()).to.deep.equal({ u: "[link withheld]", b: 1 });
  });

  it("holds the caller's values as JSON writes them", async () => {
    const engine = new Scripted(({ turns }) => `{"key": "${/<CREDENTIAL_1_\w{6}>/u.exec(turns.at(-1)?.text ?? "")?.[0]}"}`);
    await using appliance = await startTestAppliance({ engines: [engine], policy: "input: { injection: off }\n" });
    const { body } = await appliance.call("POST", chat, {
      ...userSays("Keep this: password=a\\n7b2x9"),
      response_format: { type: "json_object" },
    });
    expect(JSON.parse(body.choices[0].message.content)).to.deep.equal({ key: "a\\n7b2x9" });
  });
});
