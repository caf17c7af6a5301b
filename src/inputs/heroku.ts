/** The fields that every strategy of Heroku has. */
import { z } from 'zod';

/** Name of an app at Heroku. */
export const AppName = z
  .string()
  .regex(/^[a-z][a-z0-9-]*$/, "must be an app's name: small letters, digits and dashes, such as shop");

export const herokuFields = {
  app: AppName.meta({ description: 'An app that uses the add-on', examples: ['shop'] }),
  addon: z
    .string()
    .regex(
      /^[a-z0-9][a-z0-9-]*$/,
      "must be the add-on's own name, such as redis-curly-1, as `heroku addons` shows it; not that of a config variable",
    )
    .meta({
      description: "The add-on's own name, as `heroku addons` shows it, or its id",
      examples: ['redis-curly-1'],
    }),
  targetVersion: z
    .string()
    .regex(/^\d+(\.\d+){0,2}$/, 'must be a version such as 7.2')
    .meta({ description: 'The version to upgrade to, as Heroku offers it', examples: ['7.2'] }),
};
