import { type Edit, editsOf } from "./mapped.ts";

/** Letters of other scripts, and of phonetics, that look like Latin ones (the common ones of Unicode UTS #39): each before the letter it looks like. */
const pairs =
  "аa вb еe кk мm нh оo рp сc тt уy хx ѕs іi јj ԁd ԛq ԝw һh ӏl ѐe ёe ґr пn гr зz бb иu яr АA ВB ЕE КK МM НH ОO РP СC ТT УY ХX ЅS ІI ЈJ ҮY " +
  "αa βb εe ηn ιi κk νv οo ρp τt υu χx ωw γy σo ϲc ϳj ΑA ΒB ΕE ΖZ ΗH ΙI ΚK ΜM ΝN ΟO ΡP ΤT ΥY ΧX օo ոn սu հh ցg զq " +
  "ᴀa ʙb ᴄc ᴅd ᴇe ꜰf ɢg ʜh ɪi ᴊj ᴋk ʟl ᴍm ɴn ᴏo ᴘp ǫq ʀr ꜱs ᴛt ᴜu ᴠv ᴡw ʏy ᴢz ɑa ɡg ɩi ıi ɾr ʋv ɯw ƙk ɓb ɗd ɠg ɦh ɭl ɱm ɳn ƥp ʂs ƭt ƈc";
const latin = new Map(pairs.split(" ").map((pair) => [...pair] as [string, string])); // two letters each

const words = /[\p{L}\p{M}]+/gu;
const phonetic = /[\u0250-\u02af\u1d00-\u1d7f\ua730-\ua731]/u;

const lookalikes = new RegExp(`^[${[...latin.keys()].join("")}]+$`, "u");
const scripts = [/\p{Script=Cyrillic}/u, /\p{Script=Greek}/u, /\p{Script=Armenian}/u];

/** Two ligatures of Arabic, which would become eighteen letters and eight, stay. */
const formed = /[\P{ASCII}--[\ufdfa\ufdfb]]+/gv;

/** White letters in circles and squares, which NFKC leaves: words of them. */
const inverted = /[\u{1f150}-\u{1f169}\u{1f170}-\u{1f189}]{3,}/gu;

/** Two marks on a letter are writing, more are a stack. */
const stackMin = 3;

/** Full-width, mathematical, circled and other forms of letters and digits as plain ones; stacks of marks taken off. */
export function plainEdits(text: string): Edit[] {
  return editsOf(text, formed, ([run]) => {
    if (run.length < stackMin) return run.normalize("NFKC");
    const lettered = run.replaceAll(inverted, (word) =>
      String.fromCodePoint(...[...word].map((char) => 65 + (((char.codePointAt(0) ?? 0) - 0x1f150) % 32))),
    );
    return lettered.replaceAll(/(\p{M}{2})\p{M}+/gu, "$1").normalize("NFKC");
  });
}

/**
 * Lookalikes as the letters they look like, in words that mix them with Latin letters, are written in phonetic ones, or in lookalikes of two scripts:
 * Russian and Greek stay.
 */
export function lookalikeEdits(text: string): Edit[] {
  return editsOf(text, words, ([word]) => {
    const mixed = /[a-z]/iu.test(word) && /[^\p{Script=Latin}\p{M}]/u.test(word);
    const letters = word.replaceAll(/\p{M}/gu, "");
    if (!mixed && !phonetic.test(word) && !isOfTwoScripts(letters)) return undefined;
    return letters.replaceAll(/\P{ASCII}/gu, (char) => latin.get(char) ?? char);
  });
}

function isOfTwoScripts(letters: string): boolean {
  return lookalikes.test(letters) && scripts.filter((script) => script.test(letters)).length > 1;
}
