import { UsageError } from "./command.ts";

/** The number that an option was given. Throws `UsageError` unless it is one from `min` to `max`. */
export function numberFrom(option: string, text: string, min: number, max = Number.POSITIVE_INFINITY): number {
  return inRange(option, text, "number", Number.isFinite, min, max);
}

/** As `numberFrom`, for what is counted. */
export function wholeFrom(option: string, text: string, min: number, max = Number.POSITIVE_INFINITY): number {
  return inRange(option, text, "whole number", Number.isSafeInteger, min, max);
}

function inRange(option: string, text: string, kind: string, isKind: (value: number) => boolean, min: number, max: number): number {
  const value = Number(text);
  if (text.trim() === "" || !isKind(value) || value < min || value > max)
    throw new UsageError(`${option} takes a ${kind} from ${min}${Number.isFinite(max) ? ` to ${max}` : ""}, and not "${text}".`);
  return value;
}
