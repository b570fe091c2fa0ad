// The same page where callers need credentials.
'use strict';

const assert = require('node:assert/strict');
const { execFile } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { ACCOUNT, Server, WORKSPACE, axe, check, created, eventually } = require('./served.js');

module.exports = async function signedIn(binary, browser, { shoot, live, text }) {
  const server = new Server(binary);
  const file = path.join(server.folder, 'credentials.toml');
  const made = [await issue(binary, 'wall', 'read'), await issue(binary, 'pump', 'ingest')];
  const write = (entries) => fs.writeFileSync(file, entries.map((one) => one.entry).join('\n'));
  write(made);
  const [wall, pump] = made;
  await server.start('--credentials', file);
  await server.callback(created(1), { authorization: `Bearer ${pump.token}` });
  const page = await browser.page(server.origin);
  const context = page.context();
  const give = async (token) => {
    await page.waitForSelector('#door:not([hidden])');
    await page.fill('#token', token);
    await page.keyboard.press('Enter');
  };
  const refused = (wanted) => page.waitForFunction((text) => document.getElementById('door-said').textContent.includes(text), wanted);

  await check('a page that is not known asks for a token, and shows nothing before', async () => {
    await page.goto(`${server.origin}/?workspace=${WORKSPACE}`);
    await page.waitForSelector('#door:not([hidden])');
    assert.equal(await page.isVisible('#board'), false);
    assert.deepEqual(await axe(page), []);
    await shoot(page, 'sign-in');
    await give('tt_nobody');
    await refused('not known');
    await give(pump.token);
    await refused('role read');
    assert.deepEqual(await context.cookies(), []);
  });
  await check('a token opens the board, by a cookie that no script sees', async () => {
    await give(wall.token);
    await live(page);
    assert.equal(await text(page, '#total-tasks'), '1');
    const [cookie, ...others] = await context.cookies(`${server.origin}/wallboard/session`);
    assert.deepEqual(others, []);
    assert.equal(cookie.path, '/wallboard');
    assert(cookie.httpOnly && cookie.sameSite === 'Strict', JSON.stringify(cookie));
    assert(!cookie.value.includes(wall.token));
    assert.equal(await page.evaluate(() => document.cookie + JSON.stringify({ ...localStorage, ...sessionStorage })), '{}');
    await page.reload();
    await live(page);
  });
  await check('a screen that is signed in goes on by itself over a kill and a restart', async () => {
    await server.kill();
    await page.waitForSelector('[data-link="stale"]');
    await server.start('--credentials', file);
    await live(page);
    assert.equal(await text(page, '#total-tasks'), '1');
  });
  await check('signing out ends the figures, in every tab', async () => {
    const other = await browser.page(server.origin, { context });
    await other.goto(`${server.origin}/?workspace=${WORKSPACE}`);
    await live(other);
    await page.click('#sign-out');
    await page.waitForSelector('#door:not([hidden])');
    await other.waitForSelector('#door:not([hidden])');
    assert.equal(await text(page, '#door-said'), '', 'who signed out knows why');
    assert.match(await text(other, '#door-said'), /session has ended/);
    await other.close();
  });
  await check('a credential that is taken away ends the sessions that it began', async () => {
    await give(wall.token);
    await live(page);
    write([pump]);
    await page.waitForSelector('#door:not([hidden])');
    assert.equal(await page.isVisible('#board'), false);
    assert.match(await text(page, '#door-said'), /session has ended/);
    assert.deepEqual(await axe(page), []);
    await eventually(async () => {
      await give(wall.token);
      await refused('not known');
    });
  });
  await page.close();
  await server.end();
};

// `credentials new` prints the token for the person, and the entry for the file.
async function issue(binary, name, roles) {
  const { stdout, stderr } = await new Promise((resolve, reject) => {
    const args = ['credentials', 'new', '--name', name, '--account', ACCOUNT, '--roles', roles];
    execFile(binary, args, (error, stdout, stderr) => (error ? reject(error) : resolve({ stdout, stderr })));
  });
  const token = /tt_[\w-]+/.exec(stderr + stdout)[0];
  return { entry: stdout, token };
}
