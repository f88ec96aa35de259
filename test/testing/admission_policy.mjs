// Asks a ValidatingAdmissionPolicy about objects. Called by admission_policy.py: stdin has a JSON object with the policy's variables and
// validations and the questions; stdout gets a JSON list with the messages of the validations that each question does not pass.

import {readFileSync} from 'node:fs';
import {pathToFileURL} from 'node:url';

const {Environment} = await import(pathToFileURL(process.argv[2]).href);
const environment = new Environment({unlistedVariablesAreDyn: true});
const {variables, validations, questions} = JSON.parse(readFileSync(0, 'utf8'));
const answers = questions.map((question) => {
  const known = {...question, variables: {}};
  for (const {name, expression} of variables) known.variables[name] = environment.evaluate(expression, known);
  return validations.filter(({expression}) => environment.evaluate(expression, known) !== true).map(({message}) => message);
});
process.stdout.write(JSON.stringify(answers));
