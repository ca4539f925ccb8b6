import type { Classifiers } from "../../classifiers/classifier.ts";
import { activeContentInAnswer, activeContentLeft } from "../guards/active-content.ts";
import { canaryDetector, newCanary, waitForCanary } from "../guards/canary.ts";
import { controlCharacters } from "../guards/control-characters.ts";
import { delicateInAnswer, delicateInPrompt } from "../guards/delicate.ts";
import { promptGuard, segmentGuard } from "../guards/detector.ts";
import { injectionInPrompt } from "../guards/injection.ts";
import { invisibleText, openSequence } from "../guards/invisible-text.ts";
import { lengthOfPrompt } from "../guards/length.ts";
import { linksInAnswer } from "../guards/links.ts";
import { loopInAnswer } from "../guards/loop.ts";
import { patternsInAnswer, topicPatterns } from "../guards/patterns.ts";
import { personalDataInAnswer, personalDataInPrompt } from "../guards/personal-data.ts";
import { repetition } from "../guards/repetition.ts";
import { toolGate } from "../guards/tool-calls.ts";
import { topicWords, waitForWords } from "../guards/words.ts";
import type { Gates } from "../pipeline/answer.ts";
import type { Guard, Prompt, SegmentGuard } from "../pipeline/guard.ts";
import { waitForEnd } from "../pipeline/segment.ts";
import type { PolicyRules } from "./policy.ts";

/** The guards a policy asks for, in the order in which they look: what is cheap first, what rewrites last, and behind it, at the output, what may come of brackets that it put in and of code marks that it took out. */
export function gatesOf(policy: PolicyRules, classifiers: Classifiers): Gates {
  const canary = policy.output.canary === "off" ? undefined : newCanary();
  const output = atOutput(policy, classifiers, canary);
  return {
    input: atInput(policy, classifiers),
    tools: toolGate(policy.tools),
    output: policy.output.release === "whole" ? output.map((guard) => ({ ...guard, wait: waitForEnd, bySentence: false })) : output,
    attemptsMax: policy.attempts_max,
    preface: policy.prompt,
    sentences: policy.sentences,
    ...(canary === undefined ? {} : { canary }),
  };
}

function atInput({ input }: PolicyRules, { injection, delicate, pii, tokenCount }: Classifiers): Guard<Prompt>[] {
  const guards: Guard<Prompt>[] = [lengthOfPrompt(tokenCount, { tokensMax: input.tokens_max })];
  if (input.control_characters !== "off") {
    const detect = controlCharacters({ runMax: input.control_characters.run_max });
    guards.push(promptGuard("control_characters", "control_characters", detect));
  }
  if (input.injection !== "off") guards.push(injectionInPrompt(injection, input.injection));
  if (input.invisible_text !== "off") guards.push(promptGuard("invisible_text", "invisible_text", invisibleText()));
  if (input.repetition !== "off") {
    guards.push(promptGuard("repetition", "repetition", repetition({ repeatsMax: input.repetition.repeats_max })));
  }
  if (input.topics.length > 0) guards.push(promptGuard("topics", "topic", topicWords(input.topics)));
  if (hasPatterns(input.topics)) guards.push(promptGuard("topics", "topic", topicPatterns(input.topics)));
  if (input.delicate !== "off") guards.push(delicateInPrompt(delicate, input.delicate));
  if (input.personal_data !== "off") guards.push(personalDataInPrompt(pii, input.personal_data));
  return guards;
}

function atOutput({ output }: PolicyRules, { delicate, pii }: Classifiers, canary: string | undefined): SegmentGuard[] {
  const guards: SegmentGuard[] = [];
  if (output.control_characters !== "off") {
    const detect = controlCharacters({ runMax: output.control_characters.run_max });
    guards.push(segmentGuard("control_characters", "control_characters", detect, openSequence));
  }
  if (output.invisible_text !== "off") guards.push(segmentGuard("invisible_text", "invisible_text", invisibleText(), openSequence));
  if (canary !== undefined) guards.push(segmentGuard("canary", "canary", canaryDetector(canary), waitForCanary(canary)));
  if (output.repetition !== "off") guards.push(loopInAnswer({ repeatsMax: output.repetition.repeats_max }));
  if (output.topics.length > 0) guards.push(segmentGuard("topics", "topic", topicWords(output.topics), waitForWords(output.topics)));
  if (hasPatterns(output.topics)) guards.push(patternsInAnswer(output.topics.filter(({ patterns }) => patterns.length > 0)));
  if (output.delicate !== "off") guards.push(delicateInAnswer(delicate, output.delicate));
  if (output.personal_data !== "off") guards.push(personalDataInAnswer(pii, output.personal_data));
  const active = output.active_content;
  const isDefused = active !== "off" && active.action !== "shadow";
  if (active !== "off") guards.push(activeContentInAnswer(active));
  if (output.links !== "off") guards.push(linksInAnswer({ ...output.links, leavesActive: isDefused }));
  if (isDefused) guards.push(activeContentLeft(active));
  return guards;
}

function hasPatterns(topics: readonly { readonly patterns: readonly string[] }[]): boolean {
  return topics.some(({ patterns }) => patterns.length > 0);
}
