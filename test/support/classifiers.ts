import { after } from "mocha";
import { type Classifiers, openClassifiers } from "../../classifiers/classifier.ts";

let opened: Promise<Classifiers> | undefined;

/** The classifiers of the repository, opened once for all tests. */
export function testClassifiers(): Promise<Classifiers> {
  opened ??= openClassifiers();
  return opened;
}

after(async () => {
  await (await opened)?.[Symbol.asyncDispose]();
});
