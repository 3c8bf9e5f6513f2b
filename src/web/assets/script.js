// Pan, zoom and search on the map, and live updates. Every page works without it.
"use strict";
(() => {
  const root = document.body.dataset.root;
  const live = document.getElementById("live");
  const SILENCE = "No answer from nanoseg: is it running?";
  const WAITS = "There is something new. It is shown when you are done here, or after a reload.";
  const say = (text) => { if (live.textContent !== text) live.textContent = text; };

  // The visible part of the map stays when the page is renewed, as long as the map has the same size.
  let looked = null;
  // Removes the event listeners of the previous map.
  let stop = new AbortController();

  const map = () => {
    stop.abort();
    stop = new AbortController();
    const signal = stop.signal;
    const box = document.getElementById("map");
    const svgs = box ? [...box.querySelectorAll("svg")] : [];
    if (!svgs.length) return;
    const [svg] = svgs;
    // Thin lines are hard to hit: each gets an invisible wide one.
    for (const path of box.querySelectorAll(".edge > path:only-of-type")) {
      const wide = path.cloneNode();
      wide.classList.add("wide");
      path.after(wide);
    }
    const whole = svg.viewBox.baseVal;
    const home = [whole.x, whole.y, whole.width, whole.height];
    let view = home.slice();
    const show = () => {
      for (const one of svgs) one.setAttribute("viewBox", view.join(" "));
      looked = { home: home.join(), view: view.slice() };
    };
    // A large map starts at a readable scale, at its upper left or in the middle; the key 0 shows all of it.
    const readable = 0.62;
    const scale = Math.min(box.clientWidth / home[2], box.clientHeight / home[3]);
    if (looked && looked.home === home.join()) {
      view = looked.view.slice();
      show();
    } else if (scale < readable) {
      const [width, height] = [box.clientWidth / readable, box.clientHeight / readable];
      view = [width < home[2] ? 0 : (home[2] - width) / 2, height < home[3] ? 0 : (home[3] - height) / 2, width, height];
      show();
    }
    const zoom = (factor, x = 0.5, y = 0.5) => {
      const width = Math.min(home[2] * 2, Math.max(120, view[2] * factor));
      const real = width / view[2];
      view = [view[0] + view[2] * (1 - real) * x, view[1] + view[3] * (1 - real) * y, view[2] * real, view[3] * real];
      show();
    };
    const pan = (dx, dy) => { view[0] += dx * view[2]; view[1] += dy * view[3]; show(); };
    // Moves an element that is outside of the view into its middle.
    const reveal = (element) => {
      const line = element.querySelector("path"), frame = element.getBBox();
      const half = line && line.getPointAtLength(line.getTotalLength() / 2);
      const [x, y] = half ? [half.x, half.y] : [frame.x + frame.width / 2, frame.y + frame.height / 2];
      const [wide, high] = half ? [0, 0] : [frame.width / 2, frame.height / 2];
      if (x - wide >= view[0] && x + wide <= view[0] + view[2] && y - high >= view[1] && y + high <= view[1] + view[3]) return;
      view[0] = x - view[2] / 2;
      view[1] = y - view[3] / 2;
      show();
    };
    box.addEventListener("focusin", (event) => {
      const link = event.target.closest("svg a");
      // An element that was clicked is visible already.
      if (link && link.matches(":focus-visible")) reveal(link);
    }, { signal });
    box.addEventListener("wheel", (event) => {
      event.preventDefault();
      const at = svg.getBoundingClientRect();
      zoom(event.deltaY > 0 ? 1.15 : 1 / 1.15, (event.clientX - at.x) / at.width, (event.clientY - at.y) / at.height);
    }, { passive: false, signal });
    let from = null, moved = false;
    box.addEventListener("pointerdown", (event) => { from = [event.clientX, event.clientY]; moved = false; }, { signal });
    window.addEventListener("pointermove", (event) => {
      if (!from) return;
      const at = svg.getBoundingClientRect();
      const dx = event.clientX - from[0], dy = event.clientY - from[1];
      if (Math.abs(dx) + Math.abs(dy) < 4 && !moved) return;
      moved = true;
      box.classList.add("drag");
      pan(-dx / at.width, -dy / at.height);
      from = [event.clientX, event.clientY];
    }, { signal });
    window.addEventListener("pointerup", () => { from = null; box.classList.remove("drag"); }, { signal });
    box.addEventListener("click", (event) => { if (moved) event.preventDefault(); }, { capture: true, signal });
    box.addEventListener("dragstart", (event) => event.preventDefault(), { signal });
    const steps = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, -0.1], ArrowDown: [0, 0.1] };
    const press = (key) => {
      if (steps[key]) pan(...steps[key]);
      else if (key === "+" || key === "=") zoom(0.8);
      else if (key === "-") zoom(1.25);
      else if (key === "0") { view = home.slice(); show(); }
      else return false;
      return true;
    };
    box.addEventListener("keydown", (event) => { if (press(event.key)) event.preventDefault(); }, { signal });
    const buttons = document.getElementById("zoom");
    buttons.hidden = false;
    for (const button of buttons.children) button.addEventListener("click", () => press(button.dataset.key), { signal });
    search(box, reveal, signal);
  };

  // Marks the boxes that a search finds, and the lines to and from them.
  const search = (box, reveal, signal) => {
    const field = document.getElementById("search");
    const find = (isTyped) => {
      const wanted = field.value.trim().toLowerCase();
      const hits = new Set(), pins = new Set();
      let first = null;
      [...box.querySelectorAll(".node")].forEach((node, place) => {
        const hit = wanted !== "" && node.dataset.name.includes(wanted);
        node.classList.toggle("hit", hit);
        if (!hit) return;
        hits.add(String(place));
        first = first || node;
      });
      for (const edge of box.querySelectorAll(".edge")) {
        const near = edge.dataset.ends.split(" ").some((end) => hits.has(end));
        edge.classList.toggle("near", near);
        if (near) pins.add(edge.dataset.pin);
      }
      for (const pin of box.querySelectorAll(".pin")) pin.classList.toggle("near", pins.has(pin.dataset.pin));
      box.classList.toggle("found", hits.size > 0);
      if (!isTyped) return;
      if (first) reveal(first);
      say(wanted === "" ? "" : `${hits.size} found`);
    };
    field.addEventListener("input", () => find(true), { signal });
    if (field.value) find(false);
  };

  // Selects all proposals that are shown, or none of them.
  const choice = () => {
    const button = document.getElementById("all");
    if (!button) return;
    button.hidden = false;
    button.addEventListener("click", () => {
      const boxes = [...document.querySelectorAll("main input[name=one]")];
      const all = boxes.every((one) => one.checked);
      for (const one of boxes) one.checked = !all;
      later();
    });
  };

  const isChanged = (field) => {
    if (field.type === "hidden" || field.id === "search") return false;
    if (field.type === "checkbox" || field.type === "radio") return field.checked !== field.defaultChecked;
    if (field.tagName !== "SELECT") return field.value !== field.defaultValue;
    const options = [...field.options];
    const usual = Math.max(0, options.findIndex((one) => one.defaultSelected));
    return field.selectedIndex !== usual;
  };
  // The user writes or selects, or reads the answer to a form: loading that page again would send the form again.
  const isBusy = () => {
    const at = document.activeElement;
    const isTyping = at && at.id !== "search" && at.matches("input:not([type=checkbox]), textarea, select");
    return isTyping || document.querySelector("#answer, #decided, main [role=alert]:not(#problem)") !== null
      || [...document.querySelectorAll("main input, main textarea, main select")].some(isChanged);
  };

  // Returns a function that gives the focus to the same element of the new page.
  const focused = () => {
    const at = document.activeElement;
    if (!at || !at.closest("main")) return () => {};
    const range = at.id === "search" ? [at.selectionStart, at.selectionEnd] : null;
    const [id, href, kind, name, value] = [at.id, at.getAttribute("href"), at.tagName, at.getAttribute("name"), at.value];
    return () => {
      const same = (one) => id ? one.id === id : one.tagName === kind && one.getAttribute("href") === href
        && one.getAttribute("name") === name && one.value === value;
      const found = [...document.querySelectorAll("main, main [id], main a, main input, main button")].find(same);
      if (!found) return;
      found.focus({ preventScroll: true });
      if (range) found.setSelectionRange(...range);
    };
  };

  // The newest state that is not shown yet.
  let waiting = null;
  const isPutOff = () => {
    if (waiting !== null && isBusy()) say(WAITS);
    return isBusy();
  };
  const renew = async () => {
    if (waiting === null || isPutOff()) return;
    const version = waiting;
    const answer = await fetch(location.href, { headers: { accept: "text/html" } });
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    // The user may have started to write while the page was fetched.
    if (isPutOff()) return;
    const sought = document.getElementById("search"), refocus = focused();
    for (const part of ["main", "nav", "title"]) document.querySelector(part).replaceWith(page.querySelector(part));
    document.body.dataset.version = page.body.dataset.version;
    if (waiting === version) waiting = null;
    const field = document.getElementById("search");
    if (sought && field) field.value = sought.value;
    map();
    choice();
    refocus();
    say("Updated.");
  };
  const attempt = () => { renew().catch(() => say(SILENCE)); };
  // A delayed update is shown when the user is not busy any more; the focus has moved by then.
  const later = () => { if (waiting !== null) setTimeout(attempt); };
  for (const what of ["focusout", "change", "input", "reset"]) document.addEventListener(what, later);

  // A browser opens few connections to one host: only visible tabs use one, and others catch up when they become visible.
  let source = null;
  const listen = () => {
    if (source) return;
    source = new EventSource(`${root}changes`);
    source.onmessage = (event) => {
      if (Number(event.data) <= Number(document.body.dataset.version)) return;
      waiting = event.data;
      attempt();
    };
    source.onerror = () => say(SILENCE);
    source.onopen = () => { if (live.textContent === SILENCE) say(""); };
  };
  const heed = () => {
    if (document.visibilityState !== "hidden") { listen(); return; }
    if (source) source.close();
    source = null;
  };

  map();
  choice();
  heed();
  document.addEventListener("visibilitychange", heed);
})();
