SELECT concat('{"name":', json_quote(t0."name"), ',"reviews":', (SELECT concat('[', group_concat(j, ','), ']')
    FROM (SELECT concat('{"text":', json_quote(t1."text"), '}') AS j
      FROM "reviews" AS t1
      WHERE t1."product_id" = t0."id"
      AND t1."hidden" <> ?1
      ORDER BY t1."id"
      LIMIT ?2)), ',"related":', (SELECT concat('[', group_concat(j, ','), ']')
    FROM (SELECT concat('{"name":', json_quote(t3."name"), '}') AS j
      FROM "products_related" AS t2
      JOIN "products" AS t3 ON t3."id" = t2."other_product_id"
      WHERE t2."product_id" = t0."id"
      AND (t3."state" = ?3
        AND (t3."released_at" IS NULL
          OR ?4 >= t3."released_at"))
      ORDER BY t3."id"
      LIMIT ?5)), '}'), t0."id"
FROM "products" AS t0
WHERE (t0."state" = ?6
  AND (t0."released_at" IS NULL
    OR ?4 >= t0."released_at")
  AND t0."id" IN (SELECT value
    FROM json_each(?7)))
ORDER BY t0."id"
LIMIT ?8
