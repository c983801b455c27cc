SELECT concat('{"name":', json_quote(t0."name"), ',"related":', (SELECT concat('[', group_concat(j, ','), ']')
    FROM (SELECT concat('{"name":', json_quote(t2."name"), ',"related":', (SELECT concat('[', group_concat(j, ','), ']')
          FROM (SELECT concat('{"name":', json_quote(t4."name"), '}') AS j
            FROM "products_related" AS t3
            JOIN "products" AS t4 ON t4."id" = t3."other_product_id"
            WHERE t3."product_id" = t2."id"
            AND (t4."state" = ?1
              AND (t4."released_at" IS NULL
                OR ?2 >= t4."released_at"))
            ORDER BY t4."id"
            LIMIT ?3)), '}') AS j
      FROM "products_related" AS t1
      JOIN "products" AS t2 ON t2."id" = t1."other_product_id"
      WHERE t1."product_id" = t0."id"
      AND (t2."state" = ?4
        AND (t2."released_at" IS NULL
          OR ?2 >= t2."released_at"))
      ORDER BY t2."name", t2."id"
      LIMIT ?5)), '}'), t0."id"
FROM "products" AS t0
WHERE (t0."state" = ?6
  AND (t0."released_at" IS NULL
    OR ?2 >= t0."released_at")
  AND t0."id" IN (SELECT value
    FROM json_each(?7)))
ORDER BY t0."id"
LIMIT ?8
