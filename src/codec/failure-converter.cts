/**
 * Puts messages and stacks of failures into a payload, which the codec encrypts. Temporal loads it by `require`, and
 * into a bundle of the workflows, so it can't be a module like the others.
 */
const { DefaultFailureConverter } = require('@temporalio/common') as typeof import('@temporalio/common');

module.exports = { failureConverter: new DefaultFailureConverter({ encodeCommonAttributes: true }) };
