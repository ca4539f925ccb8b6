import type { Gates } from "../pipeline/answer.ts";
import type { Guard, Prompt, SegmentGuard } from "../pipeline/guard.ts";
import { waitForEnd } from "../pipeline/segment.ts";
import type { Policy } from "../policy/policy.ts";
import { controlCharacters } from "./control-characters.ts";
import { promptGuard, segmentGuard } from "./detector.ts";
import { invisibleText, openSequence } from "./invisible-text.ts";
import { personalDataInAnswer, personalDataInPrompt } from "./personal-data.ts";
import { repetition } from "./repetition.ts";

/** The guards a policy asks for, in the order in which they look. */
export function gatesOf({ input, output }: Policy): Gates {
  const atInput: Guard<Prompt>[] = [];
  if (input.control_characters !== "off") {
    atInput.push(promptGuard("control_characters", "control_characters", controlCharacters({ runMax: input.control_characters.run_max })));
  }
  if (input.invisible_text !== "off") atInput.push(promptGuard("invisible_text", "invisible_text", invisibleText()));
  if (input.repetition !== "off") {
    atInput.push(promptGuard("repetition", "repetition", repetition({ repeatsMax: input.repetition.repeats_max })));
  }
  if (input.personal_data !== "off") atInput.push(personalDataInPrompt(input.personal_data));

  const atOutput: SegmentGuard[] = [];
  if (output.control_characters !== "off") {
    const detect = controlCharacters({ runMax: output.control_characters.run_max });
    atOutput.push(segmentGuard("control_characters", "control_characters", detect, openSequence));
  }
  if (output.invisible_text !== "off") atOutput.push(segmentGuard("invisible_text", "invisible_text", invisibleText(), openSequence));
  if (output.personal_data !== "off") atOutput.push(personalDataInAnswer(output.personal_data));
  return {
    input: atInput,
    output: output.release === "whole" ? atOutput.map((guard) => ({ ...guard, wait: waitForEnd })) : atOutput,
  };
}
