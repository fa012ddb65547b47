/**
 * The licences that the paid service can tell apart, each by phrases that its text has and others lack. Phrases are
 * matched against normalised text (lower case, letters and digits, single blanks), so that neither line breaks nor
 * typographic quotes nor list markers matter. The wordings are those of the SPDX licence list.
 */

/** How one licence is recognised. */
export type LicencePattern = {
  /** SPDX id, without `-only` or `-or-later`: the bare licence text does not say which of them applies. */
  id: string;
  /** The phrase with which the licence, or its heading, begins. Global: a file may hold several licences. */
  key: RegExp;
  /** Further phrases of the text. The share of them that is found is the confidence. */
  also: string[];
  /** The phrases that tell it from its relatives: without one of them it is another licence … */
  must?: string[];
  /** … as it is with one of these. */
  unless?: string[];
  /** Characters after the beginning in which all phrases have to be. */
  span: number;
};

const mitKey = /permission is hereby granted free of charge to any person obtaining a copy/g;
const mitNotice = "the above copyright notice and this permission notice shall be included in all copies";
const iscKey =
  /permission to use copy modify (and )?(or )?distribute this software for any purpose with or without fee is hereby/g;
const bsdKey =
  /redistribution and use (of this software )?in source and binary forms with or without modification are permitted/g;
const bsdDisclaimer = "in no event shall the";
const gplBody = [
  "copyright c",
  "free software foundation",
  "everyone is permitted to copy and distribute verbatim copies",
];

export const licencePatterns: readonly LicencePattern[] = [
  {
    id: "MIT",
    key: mitKey,
    must: [mitNotice],
    also: ["the software is provided as is without warranty of any kind", "in no event shall the authors"],
    span: 1500,
  },
  {
    id: "MIT-0",
    key: mitKey,
    also: ["the software is provided as is without warranty of any kind", "in no event shall the authors"],
    unless: [mitNotice],
    span: 1200,
  },
  {
    id: "ISC",
    key: iscKey,
    must: ["provided that the above copyright notice and this permission notice appear in all copies"],
    also: ["the software is provided as is"],
    span: 1000,
  },
  {
    id: "0BSD",
    key: iscKey,
    also: ["the software is provided as is", "in no event shall the"],
    unless: ["provided that the above copyright notice"],
    span: 900,
  },
  {
    id: "BSD-2-Clause",
    key: bsdKey,
    also: [
      "redistributions of source code must retain",
      "redistributions in binary form must reproduce",
      bsdDisclaimer,
    ],
    unless: ["to endorse or promote products", "may be used to endorse or promote", "all advertising materials"],
    span: 1600,
  },
  {
    id: "BSD-3-Clause",
    key: bsdKey,
    also: [
      "redistributions of source code must retain",
      "redistributions in binary form must reproduce",
      bsdDisclaimer,
    ],
    must: ["endorse or promote products"],
    unless: ["all advertising materials"],
    span: 1800,
  },
  {
    id: "Apache-2.0",
    key: /(apache license version 2 0 january 2004|licensed under the apache license version 2 0)/g,
    also: ["apache org licenses", "without warranties or conditions of any kind"],
    span: 12_000,
  },
  {
    id: "MPL-2.0",
    key: /(mozilla public license version 2 0 1 definitions|subject to the terms of the mozilla public license v 2 0)/g,
    also: ["mozilla public license", "covered software", "larger work", "secondary licenses"],
    span: 20_000,
  },
  {
    id: "AGPL-3.0",
    key: /gnu affero general public license version 3 19 november 2007/g,
    also: [...gplBody, "remote network interaction"],
    span: 40_000,
  },
  {
    id: "LGPL-3.0",
    key: /gnu lesser general public license version 3 29 june 2007/g,
    also: [...gplBody, "combined work"],
    span: 9000,
  },
  {
    id: "LGPL-2.1",
    key: /gnu lesser general public license version 2 1 february 1999/g,
    also: [...gplBody, "work that uses the library"],
    span: 30_000,
  },
  {
    id: "GPL-3.0",
    key: /gnu general public license version 3 29 june 2007/g,
    also: [...gplBody, "corresponding source"],
    span: 40_000,
  },
  {
    id: "GPL-2.0",
    key: /gnu general public license version 2 june 1991/g,
    also: [...gplBody, "work based on the program"],
    span: 20_000,
  },
  {
    id: "Unlicense",
    key: /this is free and unencumbered software released into the public domain/g,
    also: [
      "anyone is free to copy modify publish use compile sell or distribute",
      "dedicate any and all copyright interest",
    ],
    span: 1200,
  },
  {
    id: "CC0-1.0",
    key: /(cc0 1 0 universal|creative commons zero v1 0 universal)/g,
    also: ["affirmer", "public domain", "statement of purpose"],
    span: 8000,
  },
  {
    id: "CC-BY-4.0",
    key: /creative commons attribution 4 0 international/g,
    also: ["licensed material", "you must", "attribution"],
    span: 20_000,
  },
  {
    id: "BlueOak-1.0.0",
    key: /blue oak model license version 1 0 0/g,
    also: ["each contributor licenses you to do everything with this software", "no liability", "excuse"],
    span: 2500,
  },
  {
    id: "Python-2.0",
    key: /(python software foundation license version 2|psf license agreement for python)/g,
    also: [
      "this license agreement is between the python software foundation",
      "python alone or in any derivative version",
    ],
    span: 6000,
  },
];

/** Old or informal names, as they stand in `package.json` files, and the SPDX ids that they may mean. */
export const licenceAliases: Readonly<Record<string, readonly string[]>> = {
  "apache 2.0": ["Apache-2.0"],
  "apache-2": ["Apache-2.0"],
  apache2: ["Apache-2.0"],
  "apache license 2.0": ["Apache-2.0"],
  "apache license, version 2.0": ["Apache-2.0"],
  "blue oak": ["BlueOak-1.0.0"],
  bsd: ["BSD-2-Clause", "BSD-3-Clause"],
  "bsd-like": ["BSD-2-Clause", "BSD-3-Clause"],
  "new bsd": ["BSD-3-Clause"],
  "simplified bsd": ["BSD-2-Clause"],
  cc0: ["CC0-1.0"],
  gplv2: ["GPL-2.0"],
  gplv3: ["GPL-3.0"],
  lgplv3: ["LGPL-3.0"],
  "mit/x11": ["MIT"],
  "mit license": ["MIT"],
  "the mit license": ["MIT"],
  "mpl 2.0": ["MPL-2.0"],
  "public domain": ["Unlicense", "CC0-1.0"],
  psf: ["Python-2.0"],
};
