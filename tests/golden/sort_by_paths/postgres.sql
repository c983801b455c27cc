SELECT concat('{"name":', to_json(t0."name")::text, ',"price":', '{"amount":' || (t0."price")::text || ',"currency":"' || 'EUR' || '"}', ',"category":', CASE WHEN t3."id" IS NULL THEN 'null' ELSE concat('{"name":', to_json(t3."name")::text, '}') END, '}'), ((SELECT (SELECT t2."name"
      FROM "categories" AS t2
      WHERE t2."id" = t1."parent_id")
    FROM "categories" AS t1
    WHERE t1."id" = t0."category_id"))::text, (t0."price")::text, (t0."id")::text
FROM "products" AS t0
LEFT JOIN "categories" AS t3 ON t3."id" = t0."category_id"
WHERE (t0."state" = $1::text
  AND (t0."released_at" IS NULL
    OR $2::timestamptz >= t0."released_at"))
ORDER BY (SELECT (SELECT t2."name"
    FROM "categories" AS t2
    WHERE t2."id" = t1."parent_id")
  FROM "categories" AS t1
  WHERE t1."id" = t0."category_id"), t0."price" DESC, t0."id" DESC
LIMIT $3::bigint
