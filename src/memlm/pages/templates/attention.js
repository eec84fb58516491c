"use strict";
(() => {
  const reader = document.querySelector(".reader");
  const words = reader.dataset;
  const text = reader.querySelector(".tokens");
  const choice = reader.querySelector("select");
  const canvases = [...document.querySelectorAll("canvas")];
  const darkest = Number(text.dataset.darkest);
  const chances = text.dataset.chances.split(" ");
  const pieces = [...text.querySelectorAll(".piece")].map((span, number) => ({
    span,
    tokens: span.dataset.tokens.split(" ").map(Number),
    name: number ? span.innerText.replace(/\n/g, "") : words.start,
  }));
  const pieceOf = [];
  for (const piece of pieces) for (const token of piece.tokens) pieceOf[token] = piece;
  const last = pieceOf.length - 1;

  const heads = canvases.map((canvas) => ({
    canvas,
    button: canvas.parentElement,
    view: canvas.parentElement.dataset.view,
    roots: Uint8Array.from(atob(canvas.dataset.weights), (letter) => letter.charCodeAt(0)),
  }));
  let chosen = last;
  let isPinned = false;

  const headsShown = () =>
    heads.filter(({ view }) => view === choice.value || view.split(".")[0] === choice.value);

  function row(token) {
    const shown = headsShown();
    const begin = (token * (token + 1)) / 2;
    return Array.from({ length: token + 1 }, (_, at) =>
      shown.reduce((sum, head) => sum + (head.roots[begin + at] / 255) ** 2, 0) / shown.length);
  }

  function bands(shares) {
    const width = 100 / shares.length;
    const stops = shares.map((share, number) =>
      `color-mix(in srgb, var(--look) ${Math.round(100 * share)}%, transparent) ` +
      `${number * width}% ${(number + 1) * width}%`);
    return `linear-gradient(90deg, ${stops.join(", ")})`;
  }

  const filled = (template, values) =>
    template.replace(/\{(\w+)\}/g, (_, name) => values[name]);
  const quoted = (piece) =>
    piece === pieces[0] ? piece.name : filled(words.quoted, { token: piece.name });

  function named(token) {
    const piece = pieceOf[token];
    const parts = piece.tokens.length;
    const part = piece.tokens.indexOf(token) + 1;
    return parts === 1 ? quoted(piece)
      : filled(words.part, { token: quoted(piece), part, parts });
  }

  function said(weights) {
    const sums = pieces.map((piece) => [piece, piece.tokens.reduce(
      (sum, token) => sum + (weights[token] || 0), 0)]);
    sums.sort((one, other) => other[1] - one[1]);
    const list = sums.slice(0, 6).filter(([, sum]) => sum >= 0.005).map(([piece, sum]) =>
      `${quoted(piece)} ${Math.round(100 * sum)}%`).join(words.comma);
    const next = chosen === last ? words.likeliest : named(chosen + 1);
    const looked = filled(words.looked, { token: named(chosen), next, list });
    const chance = chances[chosen];
    return chance
      ? [looked, filled(words.predicted, { token: named(chosen), probability: chance })]
      : [looked];
  }

  function show() {
    const weights = row(chosen);
    const most = Math.max(...weights.slice(1), 0) || 1;
    for (const { span, tokens } of pieces) {
      span.style.setProperty("--fill", bands(tokens.map((token) =>
        darkest * Math.min(1, (weights[token] || 0) / most))));
      span.classList.toggle("unread", tokens[0] > chosen);
      span.classList.toggle("chosen", tokens.includes(chosen));
    }
    const lines = said(weights).flatMap((line, number) =>
      number ? [document.createElement("br"), line] : [line]);
    reader.querySelector(".said").replaceChildren(...lines);
    const shown = headsShown();
    for (const head of heads) head.button.classList.toggle("shown", shown.includes(head));
  }

  function choose(token) {
    chosen = Math.max(0, Math.min(last, token));
    show();
  }

  function draw() {
    const style = getComputedStyle(document.documentElement);
    const [red, green, blue] = style.getPropertyValue("--bar").trim().match(/[0-9a-f]{2}/gi)
      .map((digits) => parseInt(digits, 16));
    for (const { canvas, roots } of heads) {
      const size = canvas.width;
      const image = new ImageData(size, size);
      for (let at = 0, token = 0; token < size; token++) {
        for (let seen = 0; seen <= token; seen++, at++) {
          image.data.set([red, green, blue, roots[at]], 4 * (token * size + seen));
        }
      }
      canvas.getContext("2d").putImageData(image, 0, 0);
    }
  }

  function tokenAt(event) {
    const span = event.target.closest(".piece");
    if (!span) return null;
    const tokens = span.dataset.tokens.split(" ").map(Number);
    const box = span.getBoundingClientRect();
    const share = (event.clientX - box.left) / box.width;
    return tokens[Math.max(0, Math.min(tokens.length - 1, Math.floor(share * tokens.length)))];
  }

  text.addEventListener("mousemove", (event) => {
    const token = isPinned ? null : tokenAt(event);
    if (token !== null && token !== chosen) choose(token);
  });
  text.addEventListener("click", (event) => {
    const token = tokenAt(event);
    isPinned = token !== null && !(isPinned && token === chosen);
    if (token !== null) choose(token);
  });
  text.addEventListener("keydown", (event) => {
    const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
    if (!(event.key in steps)) return;
    event.preventDefault();
    isPinned = true;
    choose(chosen + steps[event.key]);
    pieceOf[chosen].span.scrollIntoView({ block: "nearest" });
  });
  choice.addEventListener("change", show);
  for (const { button, canvas, view } of heads) {
    button.addEventListener("click", (event) => {
      choice.value = view;
      if (event.detail) {  // by a pointer, which also names a row
        const box = canvas.getBoundingClientRect();
        isPinned = true;
        choose(Math.floor(((event.clientY - box.top) / box.height) * canvas.height));
      } else {
        show();
      }
    });
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  for (const part of document.querySelectorAll(".choice, .hint, .maps")) part.hidden = false;
  if (choice.options.length < 2) reader.querySelector(".choice").hidden = true;
  draw();
  show();
})();
