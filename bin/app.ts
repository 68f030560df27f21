import { App, Validations } from 'aws-cdk-lib'
import { AwsSolutionsChecks } from 'cdk-nag'
import { InvalidSettings, readSettings } from '../infra/settings.ts'
import { CreditExpiryStack } from '../infra/stack.ts'

const app = new App()
Validations.of(app).addPlugins(new AwsSolutionsChecks(app))
try {
  void new CreditExpiryStack(app, 'CreditExpiry', readSettings(app.node.getAllContext()))
} catch (error) {
  if (!(error instanceof InvalidSettings)) throw error
  console.error(error.message)
  process.exit(1)
}
