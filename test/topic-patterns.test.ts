import { expect } from "chai";
import fc from "fast-check";
import { patternsInAnswer, topicPatterns, wrongWith } from "../server/guards/patterns.ts";
import { passage } from "../server/pipeline/passage.ts";
import { policySchema } from "../server/policy/policy.ts";
import { startTestAppliance, userSays } from "./support/appliance.ts";
import { cut, throughGate } from "./support/gate.ts";

const topic = (pattern: string, action: "block" | "mask" | "shadow" = "mask"): Parameters<typeof topicPatterns>[0] => [
  { label: "PROJECT", patterns: [pattern], action },
];
const left = async (text: string, lengths: readonly number[], pattern: string): Promise<string> =>
  (await throughGate(cut(text, lengths), [patternsInAnswer(topic(pattern))])).left.join("");

describe("topics with patterns", () => {
  it("find what a regular expression matches, in any letter case, and where", () => {
    const text = "Look at ph-1234 and PH-9. Or PH-0001!";
    const spans = topicPatterns(topic("\\bPH-\\d{4}\\b"))(text).map(({ span }) => text.slice(span.start, span.end));
    expect(spans).to.deep.equal(["ph-1234", "PH-0001"]);
  });

  it("find it through characters that are not seen and other forms of letters and spaces, too, and what a pattern says of these", () => {
    const text = "At P\u00adH-1234, \uff30\uff28-\uff11\uff12\uff13\uff14 and ph&#45;1234.";
    const spans = topicPatterns(topic("\\bPH-\\d{4}\\b"))(text).map(({ span }) => text.slice(span.start, span.end));
    expect(spans).to.deep.equal(["P\u00adH-1234", "\uff30\uff28-\uff11\uff12\uff13\uff14", "ph&#45;1234"]);
    expect(topicPatterns(topic("\\x{ad}"))(text).length).to.equal(1);
  });

  it("are refused by name when they do not compile, ask for what RE2 has not, or match the empty text", () => {
    for (const wrong of ["(", "(a)\\1", "(?=a)b", "(?<!a)b", "a*", "", "a{1001}", "((a{100}){100}){100}"]) {
      const parsed = policySchema.safeParse({ input: { topics: [{ label: "X", patterns: ["fine", wrong] }] } });
      expect(parsed.error?.issues[0]?.path, wrong).to.deep.equal(["input", "topics", 0, "patterns", 1]);
    }
    expect(wrongWith("(a)\\1")).to.match(/^is no pattern of RE2: /u);
    expect(policySchema.safeParse({ input: { topics: [{ label: "X" }] } }).error?.issues[0]?.message).to.match(/neither `words` nor/u);
  });

  it("take linear time, whatever the pattern and the text", () => {
    const bombs = ["(a+)+$", "(a|aa)+b", "(.*)*x", "a.*b", "(?:a?){30}a{30}", "(\\w+\\s?)+!"];
    for (const pattern of bombs) {
      const detect = topicPatterns(topic(pattern));
      for (const text of ["a".repeat(100_000), "a ".repeat(50_000), `${"ab".repeat(50_000)}!`]) {
        const begunMs = performance.now();
        detect(text);
        expect(performance.now() - begunMs, `${pattern} ${text.slice(0, 6)}`).to.be.below(2_000);
      }
    }
  }).timeout(60_000);

  it("let no part of a match within a sentence out, and the same text however the answer is cut", async () => {
    const pattern = "\\b(?:ph-\\d{1,9}|heron \\w+)";
    const piece = fc.constantFrom(
      "We meet. ",
      "See PH-",
      "12",
      "345 ",
      "the heron ",
      "flies. ",
      "heron\n",
      "ok! ",
      "PH- ",
      "x".repeat(330),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(piece, { maxLength: 8 }),
        fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 4 }),
        async (parts, lengths) => {
          const text = parts.join("");
          expect(await left(text, lengths, pattern)).to.equal(await left(text, [text.length || 1], pattern));
        },
      ),
      { numRuns: 300 },
    );
    expect(await left("Fine. Now PH-1234 it is.", [1], pattern)).to.equal("Fine. Now [PROJECT] it is.");
    const blocked = await throughGate(cut("Fine. Now PH-1234 it is.", [1]), [patternsInAnswer(topic(pattern, "block"))]);
    expect([blocked.blocked, blocked.left.join("")]).to.deep.equal([true, "Fine. "]);
  });

  it("in shadow hold nothing back, and judge the finished answer", async () => {
    const guard = patternsInAnswer(topic("ph-\\d{4}", "shadow"));
    const { left: out } = await throughGate(["Now ", "PH-12", "34 it"], [guard]);
    expect(out.filter(Boolean)).to.deep.equal(["Now ", "PH-12", "34 it"]);
    const last = { released: passage("Now PH-12"), before: "", passage: passage("34 it", 9), ahead: "", last: true };
    const { findings } = await guard.inspect(last, { caller: "app" });
    expect(findings[0]).to.deep.include({ guard: "topics", label: "PROJECT", action: "shadow", span: { start: 4, end: 11 } });
  });

  it("work at both gates of a policy", async () => {
    const rules = "[{ label: PROJECT, patterns: ['\\bPH-\\d{4}\\b'], action: ACTION }]";
    const policy = `input: { topics: ${rules.replace("ACTION", "block")} }\n`;
    await using appliance = await startTestAppliance({ policy });
    expect((await appliance.call("POST", "/v1/chat/completions", userSays("What is PH-1234?"))).body.error.code).to.equal("topic");
    expect((await appliance.call("POST", "/v1/chat/completions", userSays("What is PH-12?"))).status).to.equal(200);
    await using masking = await startTestAppliance({ policy: `output: { topics: ${rules.replace("ACTION", "mask")} }\n` });
    const { body } = await masking.call("POST", "/v1/chat/completions", userSays("Say PH-1234 now."));
    expect(body.choices[0].message.content).to.equal("Say [PROJECT] now.");
  }).timeout(60_000);
});
