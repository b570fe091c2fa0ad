// What does not come as usual: figures that are long, rows that are many, workspaces and places that are not there.
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { Server, WORKSPACE, axe, check, created, eventually, sid } = require('./served.js');

const SIZES = [[1920, 1080], [1280, 720], [375, 667]];
const HOUR_S = 3600;
const OTHER = sid('WS', 0xb0a2e);
const CROWDED = sid('WS', 0xb0a2f);
const UNKNOWN = sid('WS', 0xdead);

module.exports = async function shapes(binary, browser, parts) {
  await figures(binary, browser, parts);
  await places(binary, browser, parts);
  await workspaces(binary, browser, parts);
};

// How far something goes beyond its place: the page, and each large figure its tile.
const beyond = (page) => page.evaluate(() => {
  const found = [['page', document.documentElement.scrollWidth - innerWidth]];
  for (const figure of document.querySelectorAll('#wait-age, .tasks dd')) {
    const inner = document.createRange();
    inner.selectNodeContents(figure);
    const tile = figure.closest('.wait, .split > div');
    const end = tile.getBoundingClientRect().right - parseFloat(getComputedStyle(tile).paddingRight);
    found.push([figure.id, Math.ceil(inner.getBoundingClientRect().right - end - 1), tile.scrollWidth - tile.clientWidth]);
  }
  return found.filter(([, ...pixels]) => pixels.some((one) => one > 0));
});

const tall = (page) => page.evaluate(() => document.documentElement.scrollHeight - innerHeight);

async function figures(binary, browser, { live, text }) {
  const server = await new Server(binary).start('--retention', '1h');
  const ago = (seconds) => String(Math.floor(Date.now() / 1000) - seconds);
  await server.callback(created(1, { TaskDateCreated: ago(3 * HOUR_S + 60), TaskChannelUniqueName: 'v'.repeat(200) }));
  await server.callback(created(2, { TaskDateCreated: ago(74 * HOUR_S + 60), WorkspaceSid: OTHER }));
  for (const [width, height] of SIZES) {
    await check(`a longest wait of hours and of days fits its tile: ${width}x${height}`, async () => {
      for (const [workspace, wanted] of [[WORKSPACE, /^3:01:\d\d$/], [OTHER, /^3 d 02 h$/]]) {
        const page = await browser.page(server.origin, { width, height });
        await page.goto(`${server.origin}/?workspace=${workspace}`);
        await live(page);
        assert.match(await text(page, '#wait-age'), wanted);
        assert.deepEqual(await beyond(page), []);
        // And what the largest numbers would be.
        await page.evaluate(() => import('/wallboard/view.js').then(({ realtime }) => {
          const many = 1_234_567;
          const tasks_by_status = { pending: many, reserved: many, assigned: many, wrapping: many, completed: many, canceled: many };
          realtime({ total_tasks: many, total_workers: many, tasks_by_status, tasks_by_priority: [[0, many]], activities: [] });
        }));
        assert.deepEqual(await beyond(page), [], 'millions');
        await page.context().close();
      }
    });
  }
  await check('a window that is longer than what is kept says why it has no figures', async () => {
    const page = await browser.page(server.origin);
    await page.goto(`${server.origin}/?workspace=${WORKSPACE}`);
    await page.waitForSelector('section[aria-labelledby="window-480"]');
    const why = (minutes) => page.textContent(`section[aria-labelledby="window-${minutes}"] > .beside`);
    assert.equal(await why(15), '');
    assert.match(await why(480), /keeps less than 8 hours/);
    assert.deepEqual(await axe(page), []);
    await page.context().close();
  });
  await check('a service level is shown as reached only where it was', async () => {
    const page = await browser.page(server.origin);
    await page.goto(`${server.origin}/?workspace=${WORKSPACE}`);
    await live(page);
    const shown = await page.evaluate(async () => {
      const { windows } = await import('/wallboard/view.js');
      const of = (accepted_below) => {
        const counts = { tasks_created: 1000, reservations_accepted: 1000, tasks_canceled: 0, avg_acceptance_ms: 1 };
        const trend = { tasks_created: [], reservations_accepted: [], tasks_canceled: [], avg_acceptance_ms: [], accepted_below: [] };
        windows({ service_level_s: 20, windows: [{ minutes: 15, ...counts, accepted_below, trend }] }, { target: 80 });
        const level = document.querySelector('.window .level');
        return [level.querySelector('b').textContent, level.dataset.level];
      };
      return [799, 800, 997, 1000].map(of);
    });
    assert.deepEqual(shown, [['79%', 'bad'], ['80%', 'good'], ['99%', 'good'], ['100%', 'good']]);
    await page.context().close();
  });
  await crowd(server, browser, { live, text });
  await server.end();
}

async function crowd(server, browser, { live, text }) {
  const all = [];
  for (let one = 1; one <= 30; one += 1) all.push(created(one, { WorkspaceSid: CROWDED, TaskPriority: String(one) }));
  for (let more = 31; more <= 33; more += 1) all.push(created(more, { WorkspaceSid: CROWDED, TaskPriority: '2' }));
  for (let one = 1; one <= 25; one += 1) {
    all.push(created(one, {
      WorkspaceSid: CROWDED, EventType: 'worker.created', WorkerSid: sid('WK', one), WorkerName: `worker ${one}`,
      WorkerActivitySid: sid('WA', one), WorkerActivityName: `Activity ${one}`, TaskSid: '',
    }));
  }
  for (const event of all) await server.callback(event);
  for (const [width, height] of [[1920, 1080], [1366, 768], [1280, 720], [2560, 1080]]) {
    await check(`thirty priorities and twenty-five activities fit ${width}x${height}`, async () => {
      const page = await browser.page(server.origin, { width, height });
      await page.goto(`${server.origin}/?workspace=${CROWDED}`);
      await live(page);
      await page.waitForSelector('section[aria-labelledby="window-480"]');
      for (const [list, unit, of] of [['priorities', 'Priority', 30], ['activities', 'Activity', 25]]) {
        const { names, cut } = await page.$eval(`#${list}`, (dl) => ({
          names: [...dl.querySelectorAll('dt')].map((name) => name.textContent), cut: dl.scrollHeight - dl.clientHeight,
        }));
        assert(names.length >= 3 && cut <= 0, `${names}: ${cut}`);
        assert(names.slice(0, -1).every((name) => name.startsWith(unit)), `${names}`);
        assert.equal(names.at(-1), `and ${of - names.length + 1} more`);
        if (list === 'priorities') assert(names.includes('Priority 2'), 'the fullest is among them');
      }
      assert.deepEqual(await beyond(page), []);
      assert(await tall(page) <= 0, `${await tall(page)} pixels below the screen`);
      assert.deepEqual(await axe(page), []);
      await page.context().close();
    });
  }
  await check('a channel with the longest of names leaves the page as wide as the screen', async () => {
    const page = await browser.page(server.origin, { width: 1440, height: 900 });
    await page.goto(`${server.origin}/?workspace=${WORKSPACE}&channel=${'v'.repeat(200)}`);
    await live(page);
    assert.deepEqual(await beyond(page), []);
    assert(await tall(page) <= 0, `${await tall(page)} pixels below the screen`);
    await page.context().close();
  });
  await check('a warning after the alarm is refused with a sentence', async () => {
    const page = await browser.page(server.origin);
    await page.goto(`${server.origin}/?workspace=${WORKSPACE}`);
    await live(page);
    await page.click('#open-settings');
    await page.fill('[name="warn"]', '300');
    await page.keyboard.press('Enter');
    assert.match(await text(page, '#settings-said'), /cannot come after the alarm: 300 s is more than 180 s/);
    assert.deepEqual(await axe(page), []);
    await page.fill('[name="alarm"]', '400');
    await page.keyboard.press('Enter');
    await page.waitForSelector('#settings:not([open])', { state: 'attached' });
    assert.match(page.url(), /warn=300.*alarm=400/);
    await page.context().close();
  });
}

async function places(binary, browser, { live, text }) {
  const server = await new Server(binary).start('--max-watchers', '1');
  await server.callback(created(1));
  await check('a board that waits for a place takes the next one that is free, with one request', async () => {
    const first = await browser.page(server.origin);
    await first.goto(`${server.origin}/?workspace=${WORKSPACE}`);
    await live(first);
    const second = await browser.page(server.origin);
    const answers = [];
    second.on('response', (answer) => answer.url().includes('/wallboard/stream') && answers.push(answer.status()));
    await second.goto(`${server.origin}/?workspace=${WORKSPACE}`);
    await second.waitForFunction(() => document.getElementById('notice-title').textContent === 'No figures yet');
    assert.match(await text(second, '#notice-text'), /watch/);
    await first.context().close();
    await live(second);
    assert.equal(answers.filter((status) => status === 200).length, 1, `${answers}`);
    assert.equal(answers.at(-1), 200, `${answers}`);
    await second.context().close();
  });
  await server.end();
}

async function workspaces(binary, browser, { live, text }) {
  const server = await new Server(binary).start();
  await server.callback(created(1));
  const title = (page, wanted) => page.waitForFunction((said) => document.getElementById('notice-title').textContent === said, wanted);
  await check('a workspace that never was known is said so, beside those that are', async () => {
    const page = await browser.page(server.origin);
    await page.goto(`${server.origin}/?workspace=${UNKNOWN}`);
    await title(page, 'No such workspace');
    assert.match(await text(page, '#notice-text'), /^Nothing is known of \S+ here\./);
    assert.equal(await text(page, '#link'), 'No such workspace');
    assert.deepEqual(await axe(page), []);
    await page.click('#notice-offer button');
    await live(page);
    assert.match(page.url(), new RegExp(WORKSPACE));
    await page.context().close();
  });
  await check('a server that comes back with other workspaces: boards go on where nobody chose, and else offer', async () => {
    const found = await browser.page(server.origin);
    await found.goto(`${server.origin}/`);
    await live(found);
    await found.reload();
    await live(found);
    const asked = await browser.page(server.origin);
    await asked.goto(`${server.origin}/?workspace=${WORKSPACE}`);
    await live(asked);
    await server.kill();
    fs.rmSync(path.join(server.folder, 'data'), { recursive: true });
    await server.start();
    await server.callback(created(2, { WorkspaceSid: OTHER }));
    await eventually(async () => assert.match(found.url(), new RegExp(OTHER)));
    await live(found);
    await title(asked, 'No such workspace');
    assert.match(await text(asked, '#notice-text'), /^Nothing is known of \S+ any more\./);
    assert.equal(await text(asked, '#link'), 'No such workspace');
    assert.equal(await asked.getAttribute('#notice-offer button', 'title'), OTHER);
    await found.context().close();
    await asked.context().close();
  });
  await server.end();
}
