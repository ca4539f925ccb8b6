import type { Engine } from "../../models/engine.ts";
import { Fault } from "../fault.ts";
import type { Service } from "./app.ts";

/** The engine of a model; the first one when a call names none. */
export function engineFor({ engines }: Service, id: string | undefined): Engine {
  const engine = id === undefined ? engines.values().next().value : engines.get(id);
  if (engine === undefined) throw new Fault("model_not_found", undefined, { param: "model" });
  return engine;
}
