/**
 * The constraints of PROV-JSON on the records that we write, as a JSON Schema. After the schema in appendix A of "The
 * PROV-JSON Serialization", W3C Member Submission, 24 April 2013
 * (https://www.w3.org/submissions/2013/SUBM-prov-json-20130424/): the kinds of records, which attributes each must have,
 * what may stand as the value of an attribute, and nothing else at the top. Stricter in one thing: identifiers are
 * checked to be qualified names, or blank ones for relations.
 */
const name = "^[A-Za-z_][\\w-]*:[\\w][\\w.~-]*$";
const typed = {
  type: "object",
  properties: { $: { type: "string" }, type: { type: "string" }, lang: { type: "string" } },
  required: ["$"],
  additionalProperties: false,
};
const value = { anyOf: [{ type: "string" }, { type: "number" }, { type: "boolean" }, typed] };
const attribute = { anyOf: [value, { type: "array", items: value, minItems: 1 }] };
const reference = { type: "string", pattern: name };
const time = { type: "string", format: "date-time" };

type Schema = Record<string, unknown>;

/** Records of a kind by their ids. Attributes that are not listed may be there, with any values that attributes have. */
function records(id: string, properties: Schema, required: readonly string[] = []): Schema {
  return {
    type: "object",
    propertyNames: { pattern: id },
    additionalProperties: {
      type: "object",
      properties,
      required,
      propertyNames: { pattern: name },
      additionalProperties: attribute,
    },
  };
}

const relation = "^_:[\\w]+$";

export const provJsonSchema: Schema = {
  $schema: "http://json-schema.org/draft-07/schema#",
  type: "object",
  required: ["prefix"],
  additionalProperties: false,
  properties: {
    prefix: {
      type: "object",
      propertyNames: { pattern: "^[A-Za-z_][\\w-]*$" },
      additionalProperties: { type: "string", format: "uri" },
    },
    entity: records(name, {}),
    activity: records(name, { "prov:startTime": time, "prov:endTime": time }),
    agent: records(name, {}),
    wasGeneratedBy: records(relation, { "prov:entity": reference, "prov:activity": reference, "prov:time": time }, [
      "prov:entity",
    ]),
    used: records(relation, { "prov:activity": reference, "prov:entity": reference, "prov:time": time }, [
      "prov:activity",
    ]),
    wasInformedBy: records(relation, { "prov:informed": reference, "prov:informant": reference }, [
      "prov:informed",
      "prov:informant",
    ]),
    wasDerivedFrom: records(
      relation,
      { "prov:generatedEntity": reference, "prov:usedEntity": reference, "prov:activity": reference },
      ["prov:generatedEntity", "prov:usedEntity"],
    ),
    wasAttributedTo: records(relation, { "prov:entity": reference, "prov:agent": reference }, [
      "prov:entity",
      "prov:agent",
    ]),
    wasAssociatedWith: records(relation, { "prov:activity": reference, "prov:agent": reference }, ["prov:activity"]),
  },
};
