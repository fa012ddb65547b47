import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { classify, copyrightHolders, declaredLicences, recognise } from "./classify.ts";
import type { Subject } from "./classify.ts";
import { anyText } from "../../test/any-text.ts";

const mit = `MIT License

Copyright (c) 2024-present Ada Lovelace <ada@example.org> (https://example.org)

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions.

THE SOFTWARE IS PROVIDED “AS IS”, WITHOUT WARRANTY OF ANY KIND. IN NO EVENT SHALL THE AUTHORS BE LIABLE.`;

const isc = `Copyright 2020 Grace Hopper
Permission to use, copy, modify, and/or distribute this software for any purpose with or without fee is hereby granted,
provided that the above copyright notice and this permission notice appear in all copies.
THE SOFTWARE IS PROVIDED "AS IS" AND THE AUTHOR DISCLAIMS ALL WARRANTIES. IN NO EVENT SHALL THE AUTHOR BE LIABLE.`;

const bsd2 = `Redistribution and use in source and binary forms, with or without modification, are permitted if:
1. Redistributions of source code must retain the above copyright notice.
2. Redistributions in binary form must reproduce the above copyright notice.
IN NO EVENT SHALL THE COPYRIGHT HOLDER BE LIABLE.`;

const bsd3 = bsd2.replace(
  "IN NO",
  "3. The names may not be used to endorse or promote products derived from it.\nIN NO",
);

const apacheNotice = `Licensed under the Apache License, Version 2.0 (the "License");
You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
distributed WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.`;

function subject(more: Partial<Subject>): Subject {
  return { name: "p", version: "1.0.0", licenceField: null, licenceText: "", readme: "", ...more };
}

describe("the licence of a text", () => {
  const texts: [string, string][] = [
    ["MIT", mit],
    ["MIT-0", mit.replace(/The above copyright notice.*\n/, "")],
    ["ISC", isc],
    ["0BSD", isc.replace(/provided that.*\n/, "")],
    ["BSD-2-Clause", bsd2],
    ["BSD-3-Clause", bsd3],
    ["Apache-2.0", apacheNotice],
    [
      "MPL-2.0",
      "Mozilla Public License Version 2.0\n1. Definitions\n1.4 “Covered Software”, Larger Work, Secondary Licenses",
    ],
    ["GPL-3.0", gnu("GNU GENERAL PUBLIC LICENSE\nVersion 3, 29 June 2007", "Corresponding Source")],
    ["GPL-2.0", gnu("GNU GENERAL PUBLIC LICENSE\nVersion 2, June 1991", "a work based on the Program")],
    ["LGPL-3.0", gnu("GNU LESSER GENERAL PUBLIC LICENSE\nVersion 3, 29 June 2007", "Combined Work")],
    ["LGPL-2.1", gnu("GNU LESSER GENERAL PUBLIC LICENSE\nVersion 2.1, February 1999", "work that uses the Library")],
    ["AGPL-3.0", gnu("GNU AFFERO GENERAL PUBLIC LICENSE\nVersion 3, 19 November 2007", "Remote Network Interaction")],
    [
      "Unlicense",
      "This is free and unencumbered software released into the public domain.\nAnyone is free to copy, modify, " +
        "publish, use, compile, sell, or distribute this software. We dedicate any and all copyright interest.",
    ],
    ["CC0-1.0", "CC0 1.0 Universal\nStatement of Purpose\nthe public domain … Affirmer"],
    [
      "BlueOak-1.0.0",
      "# Blue Oak Model License\n\nVersion 1.0.0\n## Excuse\nEach contributor licenses you to do everything with " +
        "this software.\n## No Liability",
    ],
    [
      "Python-2.0",
      "PYTHON SOFTWARE FOUNDATION LICENSE VERSION 2\n1. This LICENSE AGREEMENT is between the Python Software " +
        "Foundation … Python alone or in any derivative version",
    ],
  ];

  test.each(texts)("%s is recognised with all its phrases", (id, text) => {
    expect(recognise(text)).toEqual([{ id, at: expect.any(Number), confidence: 1 }]);
  });

  test.each(texts)("%s is recognised in whatever way its lines are broken, marked and capitalised", (id, text) => {
    fc.assert(
      fc.property(fc.infiniteStream(fc.constantFrom(" ", "\n", "\r\n * ", "\t// ")), (blanks) => {
        const reset = text.replaceAll(/\s+/g, () => String(blanks.next().value)).toUpperCase();
        expect(recognise(reset).map((match) => match.id)).toEqual([id]);
      }),
      { numRuns: 20 },
    );
  });

  test("a text that only begins like a licence is not taken for it", () => {
    expect(
      recognise("Permission is hereby granted, free of charge, to any person obtaining a copy of my cat."),
    ).toEqual([]);
  });

  test("texts of real packages are recognised", () => {
    const real = (path: string): string[] => {
      const text = readFileSync(new URL(`../../node_modules/${path}`, import.meta.url), "utf8");
      return recognise(text).map((match) => match.id);
    };
    expect(real("zod/LICENSE")).toEqual(["MIT"]);
    expect(real("semver/LICENSE")).toEqual(["ISC"]);
    expect(real("typescript/LICENSE")).toEqual(["Apache-2.0"]);
    expect(real("lightningcss/LICENSE")).toEqual(["MPL-2.0"]);
    expect(real("highlight.js/LICENSE")).toEqual(["BSD-3-Clause"]);
    expect(real("vite/LICENSE.md")[0]).toBe("MIT");
  });
});

describe("a classification", () => {
  test("a text that agrees with the field is no conflict", () => {
    expect(classify(subject({ licenceField: "MIT", licenceText: mit }))).toMatchObject({
      licence: "MIT",
      confidence: 1,
      conflict: false,
    });
  });

  test("a text that is another licence than the declared one is a conflict, and the text wins", () => {
    expect(classify(subject({ licenceField: "MIT", licenceText: bsd3 }))).toMatchObject({
      licence: "BSD-3-Clause",
      conflict: true,
    });
  });

  test("one text of a declared choice is no conflict", () => {
    expect(classify(subject({ licenceField: "(MIT OR CC0-1.0)", licenceText: mit }))).toMatchObject({
      licence: "MIT",
      conflict: false,
    });
  });

  test("two texts of a declared choice are that choice", () => {
    const both = classify(subject({ licenceField: "(MIT OR Apache-2.0)", licenceText: `${mit}\n\n${apacheNotice}` }));
    expect(both).toMatchObject({ licence: "Apache-2.0 OR MIT", conflict: false, bundled: [] });
  });

  test("a dual licence that the field hides is a conflict", () => {
    const dual = classify(
      subject({ licenceField: "MIT", licenceText: `This is dual-licensed.\n${mit}\n\n${apacheNotice}` }),
    );
    expect(dual).toMatchObject({ licence: "Apache-2.0 OR MIT", conflict: true });
  });

  test("texts of bundled parts are named, and do not change the licence of the package", () => {
    const bundle = classify(subject({ licenceField: "MIT", licenceText: `${mit}\n\n# Bundled\n\n${bsd2}\n\n${isc}` }));
    expect(bundle).toMatchObject({ licence: "MIT", conflict: false, bundled: ["BSD-2-Clause", "ISC"] });
  });

  test("without a text the declared licence stands, with less confidence than any text gives", () => {
    expect(classify(subject({ licenceField: "GPL-3.0-or-later" }))).toMatchObject({
      licence: "GPL-3.0",
      confidence: 0.5,
    });
    expect(classify(subject({ licenceField: "MIT", licenceText: "Ask me." }))).toMatchObject({
      licence: "MIT",
      confidence: 0.3,
    });
  });

  test("a text in the README counts when there is no licence file", () => {
    expect(classify(subject({ readme: `# p\n\n## License\n\n${mit}` }))).toMatchObject({
      licence: "MIT",
      confidence: 1,
    });
  });

  test.each([null, "", "UNLICENSED", "SEE LICENSE IN terms.txt"])(
    "a field of %j without a text is unknown",
    (licenceField) => {
      expect(classify(subject({ licenceField }))).toMatchObject({ licence: "unknown", confidence: 0, conflict: false });
    },
  );

  test.each(["__proto__", "constructor", "toString"])("%s is no licence, and no accident", (licenceField) => {
    expect(classify(subject({ licenceField, licenceText: mit }))).toMatchObject({ licence: "MIT" });
  });

  test("any texts give a classification, equal ones an equal one", () => {
    const texts = fc.oneof(anyText, fc.mixedCase(fc.constantFrom(mit, isc, bsd3)));
    fc.assert(
      fc.property(fc.option(texts), texts, texts, (licenceField, licenceText, readme) => {
        const one = subject({ licenceField, licenceText, readme });
        expect(classify(one)).toEqual(classify(one));
        expect(classify(one).licence).not.toBe("");
      }),
    );
  });
});

describe("facts", () => {
  test("words are counted outside of code, and sections and examples are seen", () => {
    const readme = "# Title\n\nThree short words.\n\n## Installation\n\n```sh\nnpm install p\n```\n";
    expect(classify(subject({ readme })).facts).toMatchObject({
      hasReadme: true,
      readmeWords: 5,
      hasInstallSection: true,
      hasExample: true,
    });
  });

  test("an underlined title is a title", () => {
    expect(classify(subject({ readme: "Getting started\n---\n" })).facts.hasInstallSection).toBe(true);
    expect(classify(subject({ readme: "Reinstallation\n===\n" })).facts.hasInstallSection).toBe(false);
  });

  test("an absent README is absent in every fact", () => {
    expect(classify(subject({})).facts).toEqual({
      hasReadme: false,
      readmeWords: 0,
      hasInstallSection: false,
      hasExample: false,
      copyrightHolders: [],
    });
  });

  test.each([
    ["Copyright (c) 2024-present Ada Lovelace <ada@example.org> (https://example.org)", ["Ada Lovelace"]],
    ["  Copyright © 1999, 2001 by The Authors. All rights reserved.", ["The Authors"]],
    ["(c) 2011 Someone", ["Someone"]],
    ["Copyright 2011 Someone\nCopyright 2012 Someone\n", ["Someone"]],
    ["Copyright [yyyy] [name of copyright owner]", []],
    ["copyright notice, this list of conditions and the following disclaimer", []],
    ["copyright holder or by any party", []],
    ["Copyright and Related Rights", []],
  ])("the holders of %j are %j", (text, holders) => {
    expect(copyrightHolders(text)).toEqual(holders);
  });

  test.each([
    ["MIT", ["MIT"]],
    ["(GPL-2.0-only WITH Classpath-exception-2.0 OR MIT)", ["GPL-2.0", "MIT"]],
    ["BSD", ["BSD-2-Clause", "BSD-3-Clause"]],
    ["Apache License, Version 2.0", ["Apache-2.0"]],
    ["free, but ask first", []],
  ])("a field of %j declares %j", (field, ids) => {
    expect(declaredLicences(field).ids).toEqual(ids);
  });
});

function gnu(heading: string, phrase: string): string {
  return `${heading}\nCopyright (C) 2007 Free Software Foundation, Inc.
Everyone is permitted to copy and distribute verbatim copies of this license document.\n${phrase}`;
}
