// What the scripts about the console share.
'use strict';
const { chromium } = require('playwright-core');

// visit runs a scenario in a browser of its own.
exports.visit = async (executablePath, args, scenario) => {
  const browser = await chromium.launch({
    executablePath,
    args: [
      '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
      '--disable-background-networking', '--disable-component-update', '--disable-sync', ...args,
    ],
  });
  try {
    await scenario(browser);
  } catch (error) {
    console.error(error);
    process.exitCode = 1;
  } finally {
    await browser.close();
  }
};

// tabTo presses Tab until what has the focus matches.
exports.tabTo = async (page, selector, stroke = 'Tab') => {
  for (let i = 0; i < 60; i++) {
    await page.keyboard.press(stroke);
    if (await page.evaluate((s) => document.activeElement.matches(s), selector)) return;
  }
  throw new Error(`${stroke} does not lead to ${selector}`);
};

// contrasts runs in the page. It returns the visible texts whose contrast is
// under 4.5 (WCAG 2.2, 1.4.3); what is disabled is exempt.
exports.contrasts = () => {
  const parse = (colour) => {
    const [r, g, b, a = 1] = colour.match(/[\d.]+/g).map(Number);
    return { r, g, b, a };
  };
  const luminance = ({ r, g, b }) => {
    const [x, y, z] = [r, g, b].map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const ground = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const colour = parse(getComputedStyle(e).backgroundColor);
      if (colour.a === 1) return colour;
    }
    return { r: 255, g: 255, b: 255 };
  };
  const low = [];
  for (const element of document.body.querySelectorAll('*')) {
    const text = [...element.childNodes].filter((n) => n.nodeType === Node.TEXT_NODE).map((n) => n.data.trim()).join('');
    if (!text || !element.checkVisibility() || element.closest(':disabled, option, noscript, .unseen, .skip')) continue;
    const [a, b] = [luminance(parse(getComputedStyle(element).color)), luminance(ground(element))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5) low.push(`${element.tagName} ${text}: ${contrast.toFixed(2)}`);
  }
  return low;
};
