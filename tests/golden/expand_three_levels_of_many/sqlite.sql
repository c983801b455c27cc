SELECT concat('{"name":', json_quote(t0."name"), ',"products":', (SELECT concat('[', group_concat(j, ','), ']')
    FROM (SELECT concat('{"name":', json_quote(t2."name"), ',"reviews":', (SELECT concat('[', group_concat(j, ','), ']')
          FROM (SELECT concat('{"stars":', t4."stars", ',"author":{"name":', json_quote(t5."name"), '}}') AS j
            FROM "reviews" AS t4
            LEFT JOIN "customers" AS t5 ON t5."id" = t4."author_id"
            WHERE t4."product_id" = t2."id"
            AND t4."hidden" = ?1
            ORDER BY t4."stars", t4."text", t4."id"
            LIMIT ?2)), '}') AS j
      FROM "products" AS t2
      WHERE t2."category_id" = t0."id"
      AND EXISTS (SELECT 1
        FROM "reviews" AS t3
        WHERE t3."product_id" = t2."id"
        AND t3."stars" >= ?3)
      ORDER BY t2."price" DESC, t2."id" DESC
      LIMIT ?4)), '}'), t0."id"
FROM "categories" AS t0
WHERE t0."parent_id" IN (SELECT t1."id"
  FROM "categories" AS t1
  WHERE t1."slug" = ?5)
ORDER BY t0."id"
LIMIT ?6
