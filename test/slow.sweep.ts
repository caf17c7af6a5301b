/* The files of which `npm test` leaves out a part: here all of them run. */
import './faults/canary.test.js';
import './faults/sentinel.test.js';
import './faults/steering.test.js';
import './demo/demo.test.js';
import './faults/switchover.test.js';
import './faults/switchover-servers.test.js';
import './heroku/cli.test.js';
import './repoint/sentinel.test.js';
import './workflows/heroku-in-place.test.js';
import './workflows/soak.test.js';
import './faults/heroku-in-place.test.js';
import './heroku/adapter.test.js';
