// What only the browser can do: ticking lengths of time, remembered choices, zoom that survives a refresh, landmarks.
(() => {
  const KEY = "candlecast:choices";
  // In the order of the page's inputs, after the browser's own state.
  const CHOICES = [
    "tab", "series", "interval", "horizon", "language", "zone", "palette", "dark", "past", "past_candles", "style",
    "window", "page",
  ];
  const TOKEN = "candlecast:token";
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  const THIN = "\u202f";
  const clock = { now: null, speed: 1, at: 0, stamp: null };
  const zoom = { series: null, ranges: null };
  let announced = null;

  const saved = () => {
    try { return JSON.parse(localStorage.getItem(KEY)) || {}; } catch { return {}; }
  };
  // Gradio follows the system; what the reader chose here last counts more.
  const theme = saved().dark;
  const dress = (choices) => {
    if (choices.dark !== undefined) document.body.classList.toggle("dark", Boolean(choices.dark));
    document.documentElement.classList.toggle("federal", choices.palette === "federal");
  };
  let opened = false;
  dress(saved());

  // A link names what to show; it counts once, before what was remembered.
  const link = () => {
    const asked = new URLSearchParams(location.search), found = {};
    const [, pair, interval] = /^(.+):([^:]+)$/.exec(asked.get("series") || "") || [];
    if (pair) Object.assign(found, { series: pair, interval });
    if (asked.get("tab")) found.tab = asked.get("tab");
    if (asked.get("doc")) found.page = asked.get("doc");  // `page` means something to Gradio
    if (Number(asked.get("horizon"))) found.horizon = Number(asked.get("horizon"));
    return found;
  };
  const address = ({ tab, series, interval, horizon, page }) => {
    const asked = new URLSearchParams(location.search);
    if (tab) asked.set("tab", tab);
    if (series && interval) asked.set("series", `${series}:${interval}`);
    if (horizon) asked.set("horizon", horizon);
    if (tab === "reading" && page) asked.set("doc", page);
    else asked.delete("doc");
    history.replaceState(history.state, "", `?${asked}`);
  };
  const keep = (choices) => {
    try { localStorage.setItem(KEY, JSON.stringify({ ...saved(), ...choices })); } catch { /* private mode: not remembered */ }
  };

  const pad = (n) => String(n).padStart(2, "0");
  const span = (seconds) => {
    const whole = Math.max(0, Math.floor(seconds));
    const m = Math.floor(whole / 60), h = Math.floor(m / 60), d = Math.floor(h / 24);
    if (d) return `${d}${THIN}d ${h % 24}${THIN}h`;
    if (h) return `${h}${THIN}h ${pad(m % 60)}${THIN}min`;
    if (m) return `${m}${THIN}min ${pad(whole % 60)}${THIN}s`;
    return `${whole}${THIN}s`;
  };
  const venueNow = () => clock.now + clock.speed * (performance.now() - clock.at);

  // A phone shows only a part of the strip of tabs; the one that is open belongs to it.
  const turn = (tab) => {
    document.documentElement.dataset.tab = tab;
    const strip = document.getElementById("tabs"), chosen = strip?.querySelector("label:has(:checked)");
    if (!chosen || strip.dataset.shown === tab) return;
    strip.dataset.shown = tab;
    strip.scrollTo({ left: chosen.offsetLeft - (strip.clientWidth - chosen.offsetWidth) / 2, behavior: "instant" });
  };

  const tabOpen = () => document.querySelector("#tabs input:checked")?.value || document.documentElement.dataset.tab;

  const readPulse = () => {
    const pulse = document.querySelector("#pulse [data-now]");
    if (!pulse || pulse.dataset.now === clock.stamp) return false;
    Object.assign(clock, {
      stamp: pulse.dataset.now, now: Number(pulse.dataset.now), speed: Number(pulse.dataset.speed), at: performance.now(),
    });
    document.documentElement.lang = pulse.dataset.lang;
    turn(pulse.dataset.tab);
    document.title = pulse.dataset.title;
    announce(pulse.dataset.key, pulse.dataset.say);
    if (pulse.dataset.news) candlecast.draw();
    return true;
  };

  const announce = (key, text) => {
    const [series, cutoff] = (key || "").split("|");
    const before = announced;
    announced = key ? { series, cutoff } : announced;
    if (!text || !before || before.series !== series || before.cutoff === cutoff) return;
    let live = document.getElementById("announcer");
    if (!live) return;
    live.textContent = text;
  };

  const tick = () => {
    if (clock.now === null) return;
    const now = venueNow();
    for (const one of document.querySelectorAll("[data-tick]")) {
      const down = one.dataset.tick === "down";
      const seconds = (down ? one.dataset.at - now : now - one.dataset.at) / 1000;
      const text = down && seconds <= 0 ? one.dataset.past : one.dataset.text.replace("{age}", span(seconds));
      if (one.textContent !== text) one.textContent = text;
    }
  };

  const roles = () => {
    for (const [id, role] of [["header", "banner"], ["tabs", "navigation"], ["main", "main"], ["foot", "contentinfo"]]) {
      document.getElementById(id)?.setAttribute("role", role);
    }
    document.querySelector("main.contain")?.setAttribute("role", "none");
    if (!document.getElementById("announcer")) {
      const live = document.createElement("div");
      live.id = "announcer";
      live.className = "unseen";
      live.setAttribute("aria-live", "polite");
      live.setAttribute("aria-atomic", "true");
      document.body.append(live);
    }
  };

  // Gradio draws a new plot element for every new figure, so Plotly's own memory of the zoom is lost.
  const adopt = (plot) => {
    if (plot.dataset.adopted || !plot.layout || !plot.on) return;
    plot.dataset.adopted = "yes";
    plot.setAttribute("role", "img");
    plot.setAttribute("aria-labelledby", "chart-alt");
    const series = plot.layout.uirevision;
    plot.home = { "xaxis.range": [...plot.layout.xaxis.range], "yaxis.range": [...plot.layout.yaxis.range] };
    if (zoom.series === series && zoom.ranges) window.Plotly.relayout(plot, zoom.ranges);
    else Object.assign(zoom, { series, ranges: null });
    plot.on("plotly_relayout", (change) => {
      if (!Object.keys(change).some((key) => /^[xy]axis\./.test(key))) return;
      if (Object.keys(change).some((key) => key.endsWith("autorange"))) return candlecast.reset();
      zoom.ranges = { "xaxis.range": [...plot.layout.xaxis.range], "yaxis.range": [...plot.layout.yaxis.range] };
    });
  };

  const candlecast = {
    view: () => {
      if (!opened) dress({ dark: matchMedia("(prefers-color-scheme: dark)").matches, ...saved() });
      const first = opened ? {} : link();
      if (!opened) document.documentElement.dataset.tab = first.tab || saved().tab || "forecast";
      opened = true;
      const own = { browser: navigator.language, timezone: Intl.DateTimeFormat().resolvedOptions().timeZone };
      const dark = document.body.classList.contains("dark");
      return JSON.stringify({ ...own, ...saved(), ...first, dark, width: innerWidth });
    },
    remember: (args) => {
      const choices = Object.fromEntries(CHOICES.map((name, at) => [name, args[at + 1]]));
      dress(choices);
      keep(choices);
      address(choices);
      return [candlecast.view(), ...args.slice(1)];
    },
    changed: (args) => { candlecast.remember(args); candlecast.draw(); },
    draw: () => document.getElementById(`draw-${tabOpen()}`)?.click(),
    choose: (name, value) => keep({ [name]: value }),
    look: (args) => [candlecast.view(), ...args.slice(1)],
    token: () => { try { return sessionStorage.getItem(TOKEN) || ""; } catch { return ""; } },
    keepToken: (token) => { try { sessionStorage.setItem(TOKEN, token || ""); } catch { /* asked for again */ } },
    reset: () => {
      zoom.ranges = null;
      const plot = document.querySelector("#chart .js-plotly-plot");
      if (plot?.home) window.Plotly.relayout(plot, structuredClone(plot.home));
    },
  };
  window.candlecast = candlecast;

  // The page refreshes itself while somebody looks at it, and at once when they come back.
  const refresh = { due: Infinity };
  const every = () => 1000 * (saved().every || 5);
  const refreshWhenDue = () => {
    if (clock.stamp === null) return;  // before the first answer the controls do not hold the reader's choices yet
    if (refresh.due === Infinity) refresh.due = performance.now() + every();
    if (document.hidden || performance.now() < refresh.due) return;
    refresh.due = performance.now() + every();
    document.getElementById("refresh")?.click();
  };
  document.addEventListener("input", ({ target }) => {
    if (!target.matches?.("[data-rate]")) return;
    target.parentElement.querySelector("[data-seconds]").textContent = target.value;
    keep({ every: Number(target.value) });
    refresh.due = performance.now() + every();
  });
  document.addEventListener("click", ({ target }) => {
    const menu = target.closest?.("[data-menu]");
    if (menu) menu.setAttribute("aria-expanded", String(document.getElementById("header").classList.toggle("open")));
  });

  let last = 0;
  setInterval(() => {
    refreshWhenDue();
    const news = readPulse();
    const due = performance.now() - last >= (calm.matches ? 5000 : 1000);
    if (news || due) { last = performance.now(); tick(); }
  }, 250);
  new MutationObserver(() => {
    roles();
    for (const plot of document.querySelectorAll("#chart .js-plotly-plot")) adopt(plot);
    for (const plot of document.querySelectorAll("#own-chart .js-plotly-plot")) plot.setAttribute("role", "presentation");
  }).observe(document.documentElement, { childList: true, subtree: true });
})();
