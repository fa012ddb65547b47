/** Scope of the steps that make up for others: `compensate/<key>`. No body asks for them, so recall passes them by. */
export const compensationScope = "compensate";
