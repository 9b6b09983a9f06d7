// The shop in a real browser: what a customer does, every page at two widths in light and dark, and axe on each of them.
//
//     node shop.mjs SHOP CHROMIUM MODULES PICTURES
//
// SHOP is where the shop is, MODULES a folder in which npm put puppeteer-core and axe-core, PICTURES where screenshots go.

import assert from 'node:assert/strict';
import { mkdir, readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';

const [shop, chromium, modules, pictures] = process.argv.slice(2);
const require = createRequire(path.resolve(modules, 'package.json'));
const { default: puppeteer } = await import(require.resolve('puppeteer-core'));
const axe = await readFile(require.resolve('axe-core/axe.min.js'), 'utf8');

const WIDTHS = [1280, 360];
const SCHEMES = ['light', 'dark'];
const HOUSEHOLD = '718';

await mkdir(pictures, { recursive: true });
const browser = await puppeteer.launch({ executablePath: chromium, args: ['--no-sandbox', '--disable-gpu'] });
let checked = 0;
try {
  for (const width of WIDTHS) {
    for (const scheme of SCHEMES) await everyPage(width, scheme);
  }
  await aVisit();
  await thePanel();
  await theKeyboard();
} finally {
  await browser.close();
}
console.log(`the shop: ${checked} pages without a violation of axe ${require('axe-core/package.json').version}; a visit, the panel and the keyboard passed`);

// Somebody whom the shop does not know yet.
async function visitor(width = 1280, scheme = 'light') {
  const context = await browser.createBrowserContext();
  const page = await context.newPage();
  await page.setBypassCSP(true);
  await page.setViewport({ width, height: 900 });
  await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }]);
  page.on('pageerror', (error) => assert.fail(`${page.url()}: ${error}`));
  return page;
}

async function open(page, where) {
  const response = await page.goto(new URL(where, shop), { waitUntil: 'load' });
  assert.ok(response.status() < 500, `${where}: ${response.status()}`);
}

// Does what leads to another page, and waits for that.
async function follow(page, action) {
  await Promise.all([page.waitForNavigation({ waitUntil: 'load' }), action()]);
}

function click(page, selector) {
  return follow(page, () => page.click(selector));
}

async function enterAs(page, household) {
  await open(page, '/login');
  await follow(page, () => page.$eval(`form[action="/login"] input[name="customer"][value="${household}"]`, (input) => input.form.submit()));
}

// A household that is none of the examples is found by its number.
async function find(page, household) {
  await open(page, `/login?id=${household}`);
  await click(page, 'main form[method="post"] button[type="submit"]');
}

async function everyPage(width, scheme) {
  const page = await visitor(width, scheme);
  const look = async (name) => {
    await page.screenshot({ path: path.join(pictures, `${name}-${width}-${scheme}.png`), fullPage: true });
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
    assert.ok(wide <= 0, `${name} at ${width}: ${wide} pixels too wide`);
    await page.evaluate(axe);
    const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
    const told = violations.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map((node) => node.html).slice(0, 3).join(' ')}`);
    assert.deepEqual(told, [], `${name} at ${width}, ${scheme}`);
    checked += 1;
  };
  await open(page, '/login');
  await look('login');
  await open(page, '/login?id=71');
  await look('login-found');
  await enterAs(page, '');
  await look('home-new');
  await enterAs(page, '1');
  await look('home');
  await page.$$eval('details', (all) => all.forEach((details) => { details.open = true; }));
  await look('home-panel');
  await open(page, '/search?text=dark chocolate');
  await look('search');
  await open(page, '/search?text=');
  await look('search-empty');
  await open(page, '/');
  await open(page, await firstProduct(page));
  await look('product');
  await page.$$eval('details', (all) => all.forEach((details) => { details.open = true; }));
  await look('product-panel');
  await click(page, 'form[action="/basket/add"] button');
  await open(page, '/basket');
  await look('basket');
  await click(page, 'form[action="/checkout"] button');
  await look('ordered');
  await open(page, '/basket');
  await look('basket-empty');
  await open(page, '/product/nothing');
  await look('no-such-product');
  await page.browserContext().close();
}

function products(page, within = 'main') {
  return page.$$eval(`${within} a[href^="/product/"]`, (links) => links.map((link) => new URL(link.href).pathname));
}

async function firstProduct(page) {
  const [first] = await products(page);
  assert.ok(first, `${page.url()} shows no product`);
  return first;
}

// What a customer dislikes is gone from the next page; what is bought counts at once.
async function aVisit() {
  const page = await visitor();
  const forYou = () => products(page, '[aria-labelledby="for-you"]');
  await find(page, HOUSEHOLD);
  const [first] = await forYou();
  await open(page, first);
  await click(page, 'form[action="/dislike"] button');
  await open(page, '/');
  const now = await forYou();
  assert.ok(!now.includes(first), `${first} was disliked and is still there`);

  await open(page, '/search?text=dog food');
  const bought = await firstProduct(page);
  await open(page, bought);
  await click(page, 'form[action="/basket/add"] button');
  await open(page, '/basket');
  await click(page, 'form[action="/checkout"] button');
  await open(page, '/');
  const headings = await page.$$eval('main h2', (all) => all.map((heading) => heading.innerText));
  assert.ok(headings.some((heading) => /^because you bought/i.test(heading)), headings.join(', '));
  assert.ok(headings.includes('Buy again'), headings.join(', '));
  const told = await page.$$eval('details section', (all) => all.at(-1).textContent);
  assert.match(told, /purchase/);
  await page.browserContext().close();
}

// The panel says of each product why it is there, and what is known of a customer can be changed in it.
async function thePanel() {
  const page = await visitor();
  await enterAs(page, '1');
  const why = await page.$$eval('details .scroll tbody tr', (rows) => rows.map((row) => row.innerText || row.textContent));
  assert.equal(why.length, 12, 'a reason for each product');
  assert.ok(why.every((row) => /shown$/.test(row.trim()) && /no\. \d+/.test(row)), why.join('\n'));
  const [first] = await products(page, '[aria-labelledby="for-you"]');
  await open(page, first);
  const headings = await page.$$eval('main h2', (all) => all.map((heading) => heading.innerText));
  assert.ok(headings.includes('Bought together'), headings.join(', '));
  const beside = await products(page, '[aria-labelledby="together"]');
  assert.ok(beside.length > 0 && !beside.includes(first), beside.join(', '));

  const set = async (value) => {
    await open(page, '/');
    await page.$eval('form[action="/column"]', (form, wanted) => {
      form.elements.column.value = 'home_store';
      form.elements.value.value = wanted;
    }, value);
    await follow(page, () => page.$eval('form[action="/column"]', (form) => form.submit()));
    return page.$eval('[role="status"]', (notice) => notice.textContent);
  };
  assert.match(await set('367'), /takes home_store to be 367/);
  assert.match(await page.$eval('details', (details) => details.textContent), /home_store367/);
  await page.browserContext().close();
}

// The first stop of the keyboard leads past the head of the page, and every control can be reached and is seen.
async function theKeyboard() {
  const page = await visitor();
  await enterAs(page, '1');
  await page.keyboard.press('Tab');
  const skip = await page.evaluate(() => document.activeElement.getAttribute('href'));
  assert.equal(skip, '#main');
  await page.keyboard.press('Enter');
  await page.keyboard.press('Tab');
  assert.ok(await page.evaluate(() => document.querySelector('main').contains(document.activeElement)));
  const controls = await page.$$eval('main a[href], main button, main input:not([type="hidden"]), main select, main summary', (all) =>
    all.filter((control) => control.checkVisibility()).length);
  const reached = new Set();
  for (let stop = 0; stop < controls + 20; stop += 1) {
    const seen = await page.evaluate(() => {
      const at = document.activeElement;
      if (!document.querySelector('main').contains(at)) return null;
      at.dataset.stop ??= String(document.querySelectorAll('[data-stop]').length);
      const style = getComputedStyle(at);
      return { stop: at.dataset.stop, ring: style.outlineStyle !== 'none' || style.boxShadow !== 'none', html: at.outerHTML.slice(0, 120) };
    });
    if (seen) {
      assert.ok(seen.ring, `the keyboard is at ${seen.html}, and nothing shows it`);
      reached.add(seen.stop);
    }
    await page.keyboard.press('Tab');
  }
  assert.equal(reached.size, controls, 'controls that the keyboard reaches');
  await page.browserContext().close();
}
