import { setImmediate as turn } from "node:timers/promises";
import { Busboy } from "@fastify/busboy";
import type { Request } from "express";
import { Fault } from "../fault.ts";
import { ClientGone } from "./running-calls.ts";

/** Of a form beside its file: boundaries and fields. */
const overheadBytes = 65_536;

interface Takes {
  readonly bytesMax: number;
  /** The file begins. Returns what takes its pieces as they come. */
  file(name: string): (piece: Buffer) => void;
}

/** Reads a form (multipart/form-data, RFC 7578) with one file in its field `file`; returns the other fields. */
export async function readForm(request: Request, { bytesMax, file }: Takes): Promise<Record<string, string>> {
  const { "content-type": type = "", "content-encoding": encoding } = request.headers;
  if (!/^multipart\/form-data\s*;/iu.test(type) || encoding !== undefined)
    throw new Fault("unsupported_media_type", "Send a form: Content-Type: multipart/form-data, not compressed.");
  if (Number(request.headers["content-length"] ?? 0) > bytesMax + overheadBytes)
    throw new Fault("body_too_large", `The file is larger than the ${bytesMax} bytes that are taken.`);
  const fields: Record<string, string> = {};
  let files = 0;
  await new Promise<void>((resolve, reject) => {
    const limits = { files: 1, fields: 10, parts: 11, fieldSize: 1_000, headerPairs: 20, headerSize: 8_192 };
    const form = formOf({ headers: { ...request.headers, "content-type": type }, limits });
    let over = false;
    const fail = (fault: unknown): void => {
      over = true;
      reject(fault);
    };
    const malformed = (): void => fail(new Fault("invalid_value", "The form is not whole, or not well-formed."));
    form.on("file", (field, stream, name) => {
      files += 1;
      // Beside the form's own: an error that nobody listens to ends the process.
      stream.on("error", malformed);
      if (field !== "file") return fail(new Fault("unknown_parameter", "The file goes into the field `file`.", { param: "file" }));
      try {
        const take = file(name);
        stream.on("data", (piece: Buffer) => {
          try {
            if (!over) take(piece);
          } catch (fault) {
            fail(fault);
          }
        });
      } catch (fault) {
        fail(fault);
      }
    });
    form.on("field", (name, value) => {
      fields[name] = value;
    });
    for (const event of ["partsLimit", "filesLimit", "fieldsLimit"] as const)
      form.on(event, () => fail(new Fault("invalid_value", "The form has too many parts.")));
    form.on("error", malformed);
    form.once("finish", resolve);
    const feed = async (): Promise<void> => {
      for await (const piece of request) {
        if (over) continue; // the answer waits for no more, but the connection goes on
        try {
          form.write(piece);
        } catch {
          malformed();
        }
        // Until the form has worked it off: what it throws at a piece that had to wait is caught by nobody.
        await turn();
        if (form.writableLength === 0) continue;
        // It has ended before, and what follows is not read (RFC 2046 §5.1.1).
        over = true;
        resolve();
      }
      form.end();
      await turn();
      malformed(); // unless it has ended by now: it never will
    };
    feed().catch(() => reject(new ClientGone()));
  });
  if (files === 0) throw new Fault("missing_parameter", "`file` is missing.", { param: "file" });
  return fields;
}

function formOf(config: ConstructorParameters<typeof Busboy>[0]): InstanceType<typeof Busboy> {
  try {
    return new Busboy(config);
  } catch {
    throw new Fault("invalid_value", "The form's Content-Type names no boundary.");
  }
}
