// The wallboard in a real browser against a simulated centre: `node wallboard.js BINARY [FOLDER]`. Screenshots go
// into the folder (default: target/wallboard); those of docs/ are three of them.
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { Browser, Server, WORKSPACE, axe, check, created, eventually, sid, summary } = require('./served.js');
const signedIn = require('./session.js');
const shapes = require('./shapes.js');

const binary = path.resolve(process.argv[2] ?? 'target/debug/tasktally');
const shots = process.argv[3] ?? path.join(__dirname, '..', '..', 'target', 'wallboard');
const DESKTOP = { width: 1920, height: 1080 };
const PHONE = { width: 390, height: 844 };
const WITHIN_MS = 300;

const live = (page) => page.waitForSelector('[data-link="live"] #board:not([hidden])');
const text = (page, selector) => page.textContent(selector).then((found) => found.trim());
const number = async (page, selector) => Number((await text(page, selector)).replaceAll(',', ''));

async function shoot(page, name, fullPage = false) {
  fs.mkdirSync(shots, { recursive: true });
  await page.screenshot({ path: path.join(shots, `wallboard-${name}.png`), fullPage });
}

// 0:07 → 7
const seconds = (said) => said.split(':').reduce((all, part) => all * 60 + Number(part), 0);

// Everything that the page shows is what the API answers at the same moment.
async function agree(server, page, workspace) {
  const at = `/v1/Workspaces/${workspace}`;
  const now = await server.json(`${at}/RealTimeStatistics`);
  for (const [status, tasks] of Object.entries(now.tasks_by_status)) {
    assert.equal(await number(page, `#status-${status}`), tasks, status);
  }
  assert.equal(await number(page, '#total-tasks'), now.total_tasks);
  assert.equal(await number(page, '#total-workers'), now.total_workers);
  const age = seconds(await text(page, '#wait-age'));
  assert(Math.abs(age - now.longest_task_waiting_age) <= 1, `${age} and ${now.longest_task_waiting_age}`);
  const shown = await page.$$eval('#priorities > div', (rows) => rows.map((row) => [...row.children].map((part) => part.textContent)));
  const priorities = Object.entries(now.tasks_by_priority).map(([priority, tasks]) => [`Priority ${priority}`, tasks]);
  assert.deepEqual(shown.map(([, name, count]) => [name, Number(count)]), priorities.reverse());
  const workers = await page.$$eval('#activities > div', (rows) => rows.map((row) => [...row.children].map((part) => part.textContent)));
  const activities = now.activity_statistics.map((row) => [row.friendly_name, row.workers]);
  assert.deepEqual(workers.map(([, name, count]) => [name, Number(count)]), activities);
  for (const minutes of [15, 240, 480]) await agreeOn(server, page, at, minutes);
}

async function agreeOn(server, page, at, minutes) {
  const past = await server.json(`${at}/CumulativeStatistics?Minutes=${minutes}&SplitByWaitTime=20`);
  const tile = `section[aria-labelledby="window-${minutes}"]`;
  const figure = (name) => text(page, `${tile} [data-figure="${name}"] b`);
  const all = await Promise.all(['created', 'accepted', 'canceled'].map(figure));
  assert.deepEqual(all.map((said) => Number(said.replaceAll(',', ''))),
    [past.tasks_created, past.reservations_accepted, past.tasks_canceled], `${minutes} minutes`);
  const average = seconds(await figure('acceptance'));
  assert(Math.abs(average - past.avg_task_acceptance_time) <= 1, `${average} and ${past.avg_task_acceptance_time}`);
  const share = (100 * past.split_by_wait_time['20'].below.reservations_accepted) / past.reservations_accepted;
  assert(Math.abs(parseFloat(await figure('level')) - share) < 1, `${await figure('level')} and ${share}`);
  const drawn = await page.$$eval(`${tile} .trend .run`, (lines) => lines.length);
  assert(drawn >= 4, `${drawn} lines of a trend`);
}

// From the ingest's answer to the change of the page, by one clock; negative where the page was first.
async function delays(server, page, count) {
  await page.evaluate(() => {
    globalThis.seen = [];
    const tell = () => globalThis.seen.push([Date.now(), document.getElementById('total-tasks').textContent]);
    new MutationObserver(tell).observe(document.getElementById('total-tasks'), { childList: true, characterData: true, subtree: true });
  });
  const found = [];
  for (let task = 1; task <= count; task += 1) {
    const before = await number(page, '#total-tasks');
    await server.callback(created(task));
    const answered = Date.now();
    const wanted = String(before + 1);
    const at = await page.waitForFunction((shown) => globalThis.seen.find(([, said]) => said === shown)?.[0], wanted);
    found.push((await at.jsonValue()) - answered);
  }
  return found;
}

async function centre(browser) {
  const server = await new Server(binary).start();
  await check('serve says where the page is', () => {
    assert(server.greeting.some((line) => line.endsWith(` ${server.origin}/`)), server.greeting.join('\n'));
  });
  const page = await browser.page(server.origin, DESKTOP);
  await page.goto(`${server.origin}/`);
  await check('a page without a workspace says so, and finds the first one by itself', async () => {
    await page.waitForSelector('#notice:not([hidden])');
    await server.tasktally(['simulate', '--backfill', '9h', '--rate', '0.4', '--workers', '24']);
    await live(page);
  });
  const { workspaces: [workspace] } = await server.json('/wallboard/workspaces');
  await check('every figure is what the API answers', () => eventually(() => agree(server, page, workspace), 30));
  await check('the workspace and the channel are in the address, and come back with it', async () => {
    const { channels } = await server.json(`/wallboard/channels?workspace=${workspace}`);
    await page.selectOption('#channel', channels[0]);
    await page.waitForFunction((channel) => new URLSearchParams(location.search).get('channel') === channel, channels[0]);
    await page.reload();
    await live(page);
    assert.equal(await page.inputValue('#channel'), channels[0]);
    const one = await server.json(`/v1/Workspaces/${workspace}/RealTimeStatistics?TaskChannel=${channels[0]}`);
    await eventually(async () => assert.equal(await number(page, '#total-tasks'), one.total_tasks));
    await page.selectOption('#channel', '');
    await live(page);
  });
  await screenshots(server, browser, workspace);
  await keyboard(page);
  await check('a wait counts up by itself, and turns colour where it was told to', () => waits(server, browser));
  await check(`a change is on the screen within ${WITHIN_MS} ms of the ingest's answer`, async () => {
    const quick = await browser.page(server.origin, DESKTOP);
    await quick.goto(`${server.origin}/?workspace=${WORKSPACE}`);
    await live(quick);
    const found = await delays(server, quick, 8);
    await quick.close();
    const [best, median] = [Math.min(...found), found.toSorted((one, other) => one - other)[4]];
    assert(best <= WITHIN_MS, `${found}`);
    return `best ${best} ms, median ${median} ms of ${found.length}`;
  });
  await check('a server that is killed leaves a stale page, and one that comes back a live one', async () => {
    const before = await text(page, '#total-tasks');
    await server.kill();
    await page.waitForSelector('[data-link="stale"]');
    assert.match(await text(page, '#link'), /^Stale since \d\d:\d\d:\d\d$/);
    assert.equal(await text(page, '#total-tasks'), before, 'the figures stay');
    assert.deepEqual(await axe(page), []);
    await shoot(page, 'stale');
    await server.start();
    await live(page);
    await eventually(() => agree(server, page, workspace), 30);
  });
  await page.close();
  await server.end();
}

async function screenshots(server, browser, workspace) {
  for (const colorScheme of ['light', 'dark']) {
    for (const [name, size] of [['desktop', DESKTOP], ['phone', PHONE]]) {
      await check(`axe finds nothing: ${colorScheme}, ${name}`, async () => {
        const page = await browser.page(server.origin, { ...size, colorScheme });
        await page.goto(`${server.origin}/?workspace=${workspace}&title=Customer+care`);
        await live(page);
        await page.waitForSelector('.window .run');
        assert.deepEqual(await axe(page), []);
        const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        assert(wide <= 0, `${wide} pixels beside the screen`);
        await shoot(page, `${name}-${colorScheme}`, name === 'phone');
        await page.click('#open-settings');
        assert.deepEqual(await axe(page), [], 'the settings');
        await page.context().close();
      });
    }
  }
}

async function keyboard(page) {
  const focused = () => page.evaluate(() => document.activeElement.id || document.activeElement.className);
  await check('everything is reached and used by the keyboard alone', async () => {
    await page.evaluate(() => document.activeElement.blur());
    await page.keyboard.press('Tab');
    const order = [];
    for (let stop = 0; stop < 5; stop += 1) {
      order.push(await focused());
      await page.keyboard.press('Tab');
    }
    assert.deepEqual(order, ['skip', 'workspace', 'channel', 'theme', 'open-settings']);
    await page.focus('#theme');
    await page.keyboard.press('Enter');
    await page.keyboard.press('Enter');
    assert.equal(await page.getAttribute('html', 'data-theme'), 'dark');
    await page.keyboard.press('Enter');
    await page.focus('#open-settings');
    await page.keyboard.press('Enter');
    await page.focus('[name="title"]');
    await page.keyboard.type('Night shift');
    await page.focus('[name="target"]');
    await page.keyboard.press('Control+A');
    await page.keyboard.type('95');
    await page.keyboard.press('Enter');
    await page.waitForSelector('#settings:not([open])', { state: 'attached' });
    assert.equal(await text(page, '#title'), 'Night shift');
    assert.match(page.url(), /title=Night\+shift.*target=95/);
    assert.equal(await focused(), 'open-settings', 'where it was before');
    await page.keyboard.press('Enter');
    await page.keyboard.press('Escape');
    await page.waitForSelector('#settings:not([open])', { state: 'attached' });
  });
}

async function waits(server, browser) {
  await server.callback(created(0xffff, { TaskDateCreated: String(Math.floor(Date.now() / 1000) - 9) }));
  const page = await browser.page(server.origin, DESKTOP);
  await page.goto(`${server.origin}/?workspace=${WORKSPACE}&warn=12&alarm=15`);
  await live(page);
  const levels = [];
  for (const level of ['calm', 'warn', 'alarm']) {
    await page.waitForSelector(`#wait[data-level="${level}"]`);
    levels.push(seconds(await text(page, '#wait-age')));
    if (level !== 'calm') assert.deepEqual(await axe(page), [], level);
  }
  assert(levels[1] >= 12 && levels[2] >= 15, `${levels}`);
  assert.match(await text(page, '#wait-said'), /over 0:15$/);
  await shoot(page, 'alarm');
  await page.close();
}

async function main() {
  const browser = await Browser.open();
  await centre(browser);
  await signedIn(binary, browser, { shoot, live, text });
  await shapes(binary, browser, { live, text });
  await check('no page asked any other origin for anything, or complained', () => {
    assert.deepEqual(browser.strays, []);
    assert.deepEqual(browser.complaints, []);
  });
  await browser.end();
  process.exitCode = summary();
}

main().catch((error) => {
  console.log(`FAILED ${error.stack}`);
  process.exit(1);
});
