import { RemovalPolicy } from 'aws-cdk-lib'

/**
 * For what outlives the stack, and what an update replaces: CloudFormation's RetainExceptOnCreate. Only what a
 * failed deployment itself created is deleted when that deployment is rolled back. With Retain, a published
 * version would be left behind, and publishing the same code again would fail because it exists; a failed
 * first deployment would leave an empty bucket and empty log groups that belong to no stack.
 */
export const KEPT = RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE
