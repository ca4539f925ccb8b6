/** Letters and digits of the scripts in which addresses are written, as the inside of a character class. */
export const wordLetters = "\\p{Script=Latin}\\p{Script=Greek}\\p{Script=Cyrillic}\\p{M}\\p{N}";

/** Where a word begins behind a line end or tab as code and JSON write them. */
export const escaped = "(?<=\\\\[nrt])";

/** What a word of these scripts can hold, signs and all: patterns take nothing else, so that the last word is all that must wait in a stream. */
export const wordChars = `!-~–${wordLetters}`;
