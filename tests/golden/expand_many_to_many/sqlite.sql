SELECT concat('{"name":', json_quote(t0."name"), ',"labels":', (SELECT concat('[', group_concat(j, ','), ']')
    FROM (SELECT concat('{"name":', json_quote(t2."name"), '}') AS j
      FROM "product_labels" AS t1
      JOIN "labels" AS t2 ON t2."id" = t1."label_id"
      WHERE t1."product_id" = t0."id"
      AND t1."hidden" <> ?1
      AND t2."internal" <> ?2
      ORDER BY t2."name" DESC, t2."id" DESC
      LIMIT ?3)), '}'), t0."id"
FROM "products" AS t0
WHERE (t0."state" = ?4
  AND (t0."released_at" IS NULL
    OR ?5 >= t0."released_at")
  AND t0."id" IN (SELECT value
    FROM json_each(?6)))
ORDER BY t0."id"
LIMIT ?7
