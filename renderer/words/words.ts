/** @file What an area of the window says, in each language. A key that a language lacks does not compile. */

/** One sentence, or one for each plural form of `n` (Intl.PluralRules); `{name}` stands for a value. */
export type Phrase = string | Readonly<{ zero?: string; one?: string; two?: string; few?: string; many?: string; other: string }>;
/** The same keys in another language; a phrase with plurals has them there too. */
export type Words<T extends Readonly<Record<string, Phrase>>> = { readonly [K in keyof T]: T[K] extends string ? string : Phrase };
export type Values = Readonly<Record<string, string | number>>;
