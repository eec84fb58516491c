"use strict";
(() => {
  const data = JSON.parse(document.querySelector("script[type='application/json']").textContent);
  const main = document.querySelector("main");
  const words = main.dataset;
  const panel = document.querySelector(".sources");
  const found = panel.querySelector(".found");
  const hint = panel.querySelector(".hint");
  const close = panel.querySelector(".close");
  const choice = document.querySelector(".choice select");
  const kindNames = words.kinds.split("|");
  const kindClasses = ["recited", "recombined", "new"];
  const excerptLength = 240;
  const around = 150;
  const language = document.documentElement.lang;

  const texts = [...document.querySelectorAll(".traced")].map((section, number) => ({
    ...data.texts[number],
    box: section.querySelector(".text"),
    pieces: [...section.querySelectorAll(".piece")],
  }));
  const placeOf = new Map();  // of a piece's element: its text, and its number there
  for (const text of texts) {
    text.elements = new Map(text.pieces.map((piece) => {
      placeOf.set(piece, { text, number: Number(piece.dataset.n) });
      return [Number(piece.dataset.n), piece];
    }));
  }
  const all = texts.flatMap(({ pieces }) => pieces);
  let chosen = null;
  let marked = [];

  const filled = (template, values) =>
    template.replace(/\{(\w+)\}/g, (_, name) => values[name]);
  const count = (number) => number.toLocaleString(language);
  const raised = [..."⁰¹²³⁴⁵⁶⁷⁸⁹"];
  const powerOfTen = (number) => {
    const [digits, exponent] = number.toExponential(1).split("e-");
    return `${digits} × 10⁻${[...exponent].map((digit) => raised[digit]).join("")}`;
  };
  const chance = (expected) =>
    expected >= 0.01 || expected === 0 ? count(expected) : powerOfTen(expected);
  const share = (value) =>
    value.toLocaleString(language, { style: "percent", maximumFractionDigits: 1 });

  function element(name, className, ...content) {
    const made = document.createElement(name);
    if (className) made.className = className;
    made.append(...content);
    return made;
  }

  // The first of sorted `values` that is not below `wish`.
  function firstNotBelow(values, wish) {
    let [low, high] = [0, values.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (values[middle] < wish) low = middle + 1; else high = middle;
    }
    return low;
  }

  // Offsets are code points; JavaScript counts in halves of some.
  function slice(text, length, start, end) {
    if (text.length === length) return text.slice(start, end);
    return [...text].slice(start, end).join("");
  }

  function stretch(document_, start, end) {
    const excerpts = data.excerpts[document_];
    const at = firstNotBelow(excerpts.map(([begin]) => begin), start + 1) - 1;
    if (at < 0) return null;
    const [begin, length, text] = excerpts[at];
    if (end > begin + length + around && start >= begin + length) return null;
    return {
      before: slice(text, length, Math.max(0, start - begin - around), start - begin),
      inside: slice(text, length, start - begin, end - begin),
      after: slice(text, length, end - begin, end - begin + around),
      covers: start >= begin && end <= begin + length,
    };
  }

  function context([document_, start, end]) {
    const whole = stretch(document_, start, end);
    if (whole && whole.covers) return [whole.before, [whole.inside], whole.after];
    const head = stretch(document_, start, start + excerptLength);
    const tail = stretch(document_, end - excerptLength, end);
    if (!head || !tail || !head.covers || !tail.covers) return null;
    const skipped = filled(words.skipped, { count: count(end - start - 2 * excerptLength) });
    return [head.before, [head.inside, element("span", "gap", ` ${skipped} `), tail.inside],
      tail.after];
  }

  function shownSource(source, kind) {
    const [document_, start, end, masked] = source;
    const shown = [element("h4", "", data.documents[document_])];
    const place = filled(words.place, { start: count(start), end: count(end) });
    shown.push(element("p", "place", place,
      ...(masked ? [" ", element("span", "masked", filled(words.masked, { kinds: masked }))] : [])));
    shown[0].dir = "auto";
    const parts = context(source);
    if (parts) {
      const [before, inside, after] = parts;
      const quoted = element("p", `context ${kind}`, before ? `…${before}` : "",
        element("mark", "", ...inside), after ? `${after}…` : "");
      quoted.dir = "auto";
      shown.push(quoted);
    }
    return shown;
  }

  function shownSpan(text, number) {
    const [start, end, kind, number_, expected, sources] = text.spans[number];
    const title = element("h3", "", element("i", `swatch ${kindClasses[kind]}`), kindNames[kind],
      ` · ${filled(words.length, { count: count(end - start) })}`);
    const figures = filled(words.counted, { count: count(number_), chance: chance(expected) });
    const unlisted = number_ - sources.length;
    return [title, element("p", "figures", figures),
      ...sources.flatMap((source) => shownSource(source, kindClasses[kind])),
      ...(unlisted > 0
        ? [element("p", "note", filled(words.more, { count: count(unlisted) }))] : [])];
  }

  function spansAt(text, place) {
    const at = firstNotBelow(text.spans.map(([, end]) => end), place + 1);
    const covering = [];
    for (let number = at; number < text.spans.length && text.spans[number][0] <= place; number++) {
      covering.push(number);
    }
    return covering;
  }

  function overlapping(text, piece, shown) {
    const others = spansAt(text, text.starts[piece]).filter((number) => number !== shown);
    if (!others.length) return [];
    const buttons = others.slice(0, 20).map((number) => {
      const [start, end, kind] = text.spans[number];
      const button = element("button", kindClasses[kind], written(text, start, end));
      button.type = "button";
      button.addEventListener("click", () => show(text, piece, number));
      return button;
    });
    return [element("div", "overlaps", words.overlaps, ...buttons)];
  }

  function piecesOf(text, start, end) {
    const own = [];
    for (let at = firstNotBelow(text.starts, start); text.starts[at] < end; at++) own.push(at);
    return own;
  }

  const written = (text, start, end) =>
    piecesOf(text, start, end).map((at) => text.elements.get(at)?.textContent ?? "").join("")
      .replace(/\s+/g, " ");

  function shownTokens(text, piece) {
    const place = text.starts[piece];
    return text.tokens.filter(([start, end]) => start <= place && place < end)
      .flatMap(([start, end, shares, sources]) => {
        const rows = shares.map((value, number) => {
          const bar = element("i", "");
          bar.style.setProperty("--share", value);
          return element("tr", "", element("td", "name", choice.options[
            choice.options.length - shares.length + number].dataset.name),
          element("td", "bar", bar), element("td", "number", share(value)));
        });
        return [element("h3", "", `${words.token} “${written(text, start, end)}”`),
          element("table", "shares-of-token", ...rows),
          ...(sources.length ? [element("p", "figures", words.behind)] : []),
          ...sources.flatMap((source) => shownSource(source, ""))];
      });
  }

  function mark(text, start, end) {
    for (const piece of marked) piece.classList.remove("chosen");
    marked = piecesOf(text, start, end).map((at) => text.elements.get(at)).filter(Boolean);
    for (const piece of marked) piece.classList.add("chosen");
  }

  function show(text, piece, span = text.owners[piece]) {
    const tokens = text.tokens.length ? shownTokens(text, piece) : [];
    const spans = span >= 0 ? [...shownSpan(text, span), ...overlapping(text, piece, span)] : [];
    const empty = element("p", "note", words.nothing);
    found.replaceChildren(...(tokens.length || spans.length ? [...tokens, ...spans] : [empty]));
    const isByExpert = main.classList.contains("by-expert");
    if (span >= 0 && !isByExpert) mark(text, ...text.spans[span]);
    else mark(text, text.starts[piece], text.starts[piece] + 1);
    panel.scrollTop = 0;
    panel.classList.add("open");
    document.body.classList.add("has-sources");
    close.hidden = false;
  }

  function hide() {
    mark(texts[0], 0, 0);
    found.replaceChildren(hint);
    panel.classList.remove("open");
    document.body.classList.remove("has-sources");
    close.hidden = true;
  }

  function choose(piece) {
    if (chosen) chosen.tabIndex = -1;
    chosen = piece;
    chosen.tabIndex = 0;
    chosen.setAttribute("role", "button");
    const { text, number } = placeOf.get(piece);
    show(text, number);
  }

  // The next piece on that side that is of another span (or token), or of a recited one.
  function neighbour(piece, step, isRecited) {
    const from = placeOf.get(piece);
    for (let next = all.indexOf(piece) + step; all[next]; next += step) {
      const { text, number } = placeOf.get(all[next]);
      const isOther = text !== from.text || text.owners[number] !== from.text.owners[from.number];
      if (isRecited ? isOther && all[next].classList.contains("recited")
        : isOther || text.tokens.length) return all[next];
    }
    return null;
  }

  main.addEventListener("click", (event) => {
    const piece = event.target.closest(".piece");
    if (!piece || String(getSelection())) return;
    choose(piece);
    piece.focus({ preventScroll: true });
  });
  main.addEventListener("keydown", (event) => {
    const piece = event.target.closest(".piece");
    if (!piece || event.altKey || event.ctrlKey || event.metaKey) return;
    const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: 1, ArrowUp: -1 };
    if (event.key === "Enter" || event.key === " ") {
      choose(piece);
    } else if (event.key in steps) {
      const isRecited = event.key === "ArrowDown" || event.key === "ArrowUp";
      const next = neighbour(piece, steps[event.key], isRecited);
      if (next) {
        choose(next);
        next.focus({ preventScroll: true });
        next.scrollIntoView({ block: "nearest" });
      }
    } else {
      return;
    }
    event.preventDefault();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") hide();
  });
  close.addEventListener("click", hide);

  function colour() {
    const isByExpert = choice.value !== "";
    main.classList.toggle("by-expert", isByExpert);
    if (marked.length) choose(chosen);
    if (!isByExpert) return;
    for (const text of texts) {
      for (const [start, end, shares] of text.tokens) {
        for (const at of piecesOf(text, start, end)) {
          text.elements.get(at)?.style.setProperty("--share", shares[choice.value]);
        }
      }
    }
  }
  if (choice) {
    choice.addEventListener("change", colour);
    choice.closest(".choice").hidden = false;
    colour();
  }
  const first = all.find((piece) => piece.classList.contains("recited")) ?? all[0];
  if (first) {
    chosen = first;
    first.tabIndex = 0;
    first.setAttribute("role", "button");
    hint.hidden = false;
  } else {
    panel.hidden = true;
  }
})();
